"""A checkout that looks like CoRAG's code to a reader of it, in words of no one's prompts."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from methods.corag.wording import REWORDED

PROMPTS = '''
raise SystemExit("this file was run")

def get_generate_subquery_prompt(query, past_subqueries, past_subanswers, task_desc):
    past = ''
    for idx in range(len(past_subqueries)):
        past += f"""Step {idx+1} asked: {past_subqueries[idx]}
Step {idx + 1} found: {past_subanswers[idx]}\\n"""
    past = past.strip()
    prompt = f"""Ask on.

# Steps
{past or 'None'}

# Kind
{task_desc}

# Aim
{query}

One more {{step}}."""
    return [{'role': 'user', 'content': prompt}]

def get_generate_intermediate_answer_prompt(subquery, documents):
    context = ''
    for idx, doc in enumerate(documents):
        context += f"""{doc}\\n\\n"""
    prompt = f"""Read.

# Texts
{context.strip()}

# Ask
{subquery}

In a word."""
    return [{'role': 'user', 'content': prompt}]

def get_generate_final_answer_prompt(
    query, past_subqueries, past_subanswers, task_desc, documents=None
):
    past = ''
    for idx in range(len(past_subqueries)):
        past += f"""Step {idx+1} asked: {past_subqueries[idx]}
Step {idx+1} found: {past_subanswers[idx]}\\n"""
    past = past.strip()
    context = ''
    for idx, doc in enumerate(documents):
        context += f"""Text {idx}: {doc}\\n\\n"""
    prompt = f"""End.

# Texts
{context.strip()}

# Steps
{past or 'None'}

# Kind
{task_desc}

# Aim
{query}

In a word."""
    return [{'role': 'user', 'content': prompt}]
'''
AGENT = r"""
class Agent:
    def _eval_single_path(self, path):
        messages = ask(
            subquery=path.query,
            documents=[f'Asked: {q}\nFound: {a}' for q, a in zip(path.queries, path.answers)],
        )
        messages.append({'role': 'assistant', 'content': 'No word of it'})
"""
RUN = """
def main():
    ds = ds.add_column('task_desc', ['combine facts' for _ in range(len(ds))])
"""
RAISES = 'raise SystemExit("this file was run")\n'


def write_checkout(folder: Path, prompts: str = PROMPTS) -> Path:
    """The files that are read, at their places below ``folder``."""
    source = folder / "corag" / "src"
    for name, text in {
        "prompts.py": prompts,
        "agent/corag_agent.py": RAISES + AGENT,
        "inference/run_inference.py": RAISES + RUN,
    }.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text, encoding="utf-8")
    return folder


def functions() -> dict:
    """The prompts' own functions, as the code itself would make the prompts."""
    found: dict = {}
    exec(PROMPTS.replace(RAISES.strip(), ""), found)
    return found


def as_file(path: Path, **changes) -> Path:
    """A file of the house's wording, changed; None leaves a key out."""
    values = {k: v for k, v in {**REWORDED.model_dump(), **changes}.items() if v is not None}
    path.write_text(json.dumps(values) if path.suffix == ".json" else yaml.safe_dump(values))
    return path
