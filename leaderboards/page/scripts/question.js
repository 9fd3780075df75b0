"use strict";
/* One question: its gold, and each method's answer with scores, passages and trace. */

const opened = new Set();

/** Show the question of a place in the index; nothing for null. */
async function showQuestion(place) {
  const { table, index } = browserState,
    into = byId("question");
  if (place === null) {
    into.replaceChildren(el("p", { class: "muted" }, "No question fits."));
    return;
  }
  const { block } = headOf(table);
  const part = await unpack(`${table}-${Math.floor(place / block)}`);
  if (browserState.table !== table || browserState.current !== place) return; // another one was chosen meanwhile
  into.replaceChildren(
    ...questionParts(index, place, part.questions[place % block], part.passages),
  );
  noteAddress(table, index.ids[place]);
}

function noteAddress(table, id) {
  try {
    history.replaceState(null, "", `#question/${table}/${encodeURIComponent(id.toWellFormed())}`);
  } catch {
    /* a reader that forbids it */
  }
}

function questionParts(index, place, question, passages) {
  const { shown, sides } = browserState,
    at = shown.indexOf(place);
  const step = (name, by) =>
    el(
      "button",
      {
        class: "button",
        type: "button",
        disabled: !(at + by in shown),
        onclick: () => {
          select(at + by, { scroll: true });
          byId(by < 0 ? "previous" : "next")?.focus();
        },
        id: by < 0 ? "previous" : "next",
      },
      name,
    );
  const golden = question.golden.map(textOf);
  const asked = sides.map(({ method }) => method);
  return [
    el(
      "div",
      { class: "bar" },
      el(
        "span",
        { class: "muted small" },
        `${at + 1} of ${shown.length} \u00b7 `,
        foreign(index.ids[place]),
      ),
      el("span", { class: "pair" }, step("\u2190 Previous", -1), step("Next \u2192", 1)),
    ),
    el("h3", { class: "ask" }, longText(question.question, { tag: "span", kind: "" })),
    el(
      "div",
      { class: "chips" },
      el("span", { class: "muted small" }, "Gold"),
      question.golden.map((each) =>
        el("span", { class: "chip" }, foreign(clipped(textOf(each), 300))),
      ),
    ),
    ...index.methods.map((method, which) => {
      if (asked.includes(method.label)) opened.add(method.label);
      return answer(method, place, question.answers[which], question.gold, passages, golden);
    }),
    goldDocuments(question, passages, golden),
  ];
}

function answer(method, place, given, gold, passages, golden) {
  const right = isRight(method, place);
  const [kind, word] =
    given === null
      ? ["", "no answer"]
      : given.error
        ? ["wrong", "error"]
        : right
          ? ["right", "right"]
          : ["wrong", "wrong"];
  const scores = Object.entries(method.scores)
    .map(([name, values]) => [name, values[place]])
    .filter(([, value]) => value !== null && value !== undefined)
    .map(
      ([name, value]) =>
        `${SCORES[name] ?? name.replace("recall", "Recall")} ${plainNumber(100 * value)}`,
    )
    .join(" \u00b7 ");
  const summary = el(
    "summary",
    {},
    markOf(method.label),
    foreign(shortName(method.label)),
    el("span", { class: `badge ${kind}` }, word),
    el("span", { class: "scores" }, scores),
    given
      ? foreign(clipped(textOf(given.answer), 400) || "(an empty answer)", { class: "says" })
      : null,
  );
  const inside = el("div", { class: "inside" });
  const details = el("details", { class: "answer", "data-label": method.label }, summary, inside);
  details.addEventListener("toggle", () => {
    opened[details.open ? "add" : "delete"](method.label);
    if (details.open && !inside.children.length)
      inside.append(...inner(method, given, gold, passages, golden));
  });
  details.open = opened.has(method.label);
  return details;
}

const SCORES = { em: "EM", f1: "F1", contains: "Contains", recall_read: "Recall read" };

function inner(method, given, gold, passages, golden) {
  if (given === null)
    return [
      el("p", { class: "muted" }, "This method has no answer to this question: its server failed."),
    ];
  const parts = [];
  const part = (title, ...children) => parts.push(el("h4", {}, title), ...children);
  if (given.error) part("Error", longText(given.error));
  if (textOf(given.answer).length > 400) part("Answer", longText(given.answer));
  if (textOf(given.raw).trim() && textOf(given.raw).trim() !== textOf(given.answer).trim())
    part("Reply", longText(given.raw));
  if (given.ranked.length || given.read.length) {
    part("Passages", el("ol", { class: "passages" }, passageList(given, gold, passages, golden)));
  }
  if (given.steps.length) part("Trace", el("ol", { class: "trace" }, given.steps.map(step)));
  parts.push(
    el(
      "p",
      { class: "muted small" },
      `Run ${method.run}, seed ${method.seed} \u00b7 ${usage(given.usage)}`,
    ),
  );
  return parts;
}

function step(values) {
  const { kind, ...rest } = values;
  const counted = Object.entries(rest).filter(
    ([, value]) => typeof value === "number" || typeof value === "boolean" || value === null,
  );
  const told = Object.entries(rest).filter(([key]) => !counted.some(([name]) => name === key));
  return el(
    "li",
    { class: "step" },
    el("strong", {}, foreign(String(kind))),
    " ",
    el(
      "span",
      { class: "muted small" },
      foreign(counted.map(([key, value]) => `${key} ${value ?? "not known"}`).join(" \u00b7 ")),
    ),
    told.length
      ? el(
          "dl",
          {},
          told.flatMap(([key, value]) => [
            el("dt", {}, foreign(key)),
            el("dd", {}, stepValue(value)),
          ]),
        )
      : null,
  );
}

function stepValue(value) {
  const isFlat = Array.isArray(value) && value.every((each) => typeof each !== "object");
  const isText = typeof value === "string" || isCut(value);
  const told = isText ? value : isFlat ? value.join(", ") : JSON.stringify(value, null, 1);
  const isShort = textOf(told).length <= 120 && !textOf(told).trim().includes("\n");
  return longText(told, { tag: isShort ? "span" : "pre", fold: isText ? 600 : 300 });
}

function usage(counts) {
  const words = {
    llm_calls: ["call", "calls"],
    retrievals: ["search", "searches"],
    prompt_tokens: ["prompt token", "prompt tokens"],
    completion_tokens: ["completion token", "completion tokens"],
    passages_dropped: ["passage dropped", "passages dropped"],
    passages_cut: ["passage cut", "passages cut"],
  };
  return Object.entries(counts)
    .filter(([, value]) => typeof value === "number")
    .map(([name, value]) => {
      const [one, many] = words[name] ?? [name, name];
      return `${value.toLocaleString("en-US")} ${value === 1 ? one : many}`;
    })
    .join(", ");
}
