from harness.data.corpus import Corpus as Corpus
from harness.errors import ConfigError as ConfigError
from harness.errors import HarnessError as HarnessError
from harness.errors import InputError as InputError
from harness.llm.base import LanguageModel as LanguageModel
from harness.method import Lent as Lent
from harness.method import Method as Method
from harness.method import MethodCard as MethodCard
from harness.method import MethodParams as MethodParams
from harness.prompts import Prompt as Prompt
from harness.prompts import QAPrompts as QAPrompts
from harness.records import Hit as Hit
from harness.records import Passage as Passage
from harness.records import Prediction as Prediction
from harness.records import Query as Query
from harness.records import Question as Question
from harness.records import StorageReport as StorageReport
from harness.retrieval.base import Retriever as Retriever
from harness.testing.conformance import check_method as check_method
from harness.testing.findings import BrokenRuleError as BrokenRuleError
from harness.testing.models import RuleModel as RuleModel
from harness.testing.models import ScriptedModel as ScriptedModel
from harness.testing.models import WordRetriever as WordRetriever
from harness.testing.models import small_task as small_task
from harness.trace import note as note
from harness.trace import timed as timed

__version__: str
