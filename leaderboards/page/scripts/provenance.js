"use strict";
/* Provenance: every run of the tables, and what decided its answers; the glossary of columns. */

function startProvenance() {
  const section = byId("provenance");
  for (const table of page.tables) {
    const runs = page.provenance.filter((run) => run.table === table.name);
    if (!runs.length) continue;
    section.append(
      el(
        "details",
        { class: "card runs" },
        el(
          "summary",
          { class: "run" },
          el("strong", {}, foreign(table.title)),
          el("span", { class: "muted" }, ` \u00b7 n = ${table.questions.toLocaleString("en-US")} \u00b7 ${runs.length} ${runs.length === 1 ? "run" : "runs"}`),
        ),
        about(table),
        runs.map(runOf),
      ),
    );
  }
}

function runOf(run) {
  const inside = el("div", { class: "inside" });
  const details = el(
    "details",
    { class: "run" },
    el(
      "summary",
      {},
      markOf(run.label),
      " ",
      foreign(run.label),
      el(
        "span",
        { class: "muted small" },
        ` \u00b7 run ${run.run} \u00b7 seed ${run.seed} \u00b7 ${run.date || "unknown date"} \u00b7 memory-harness ${run.harness}`,
      ),
    ),
    inside,
  );
  details.addEventListener("toggle", () => {
    if (details.open && !inside.children.length) inside.append(...runParts(run));
  });
  return details;
}

function runParts(run) {
  const method = el(
    "div",
    {},
    el("h4", {}, "Method"),
    el("p", {}, foreign(run.summary)),
    run.paper ? el("p", { class: "muted" }, foreign(run.paper)) : null,
    run.deviations.length
      ? el(
          "details",
          {},
          el("summary", {}, `Differs from its paper in ${run.deviations.length} points`),
          el(
            "ul",
            {},
            run.deviations.map((line) => el("li", {}, foreign(line))),
          ),
        )
      : null,
  );
  return [
    method,
    ...Object.entries(run.parts).map(([name, values]) =>
      el("div", {}, el("h4", {}, name), settings(values)),
    ),
  ];
}

function settings(values) {
  const told = (value) =>
    value !== null && typeof value === "object" ? JSON.stringify(value) : String(value);
  return el(
    "dl",
    { class: "settings" },
    Object.entries(values).flatMap(([key, value]) => [
      el("dt", {}, foreign(key)),
      el("dd", {}, foreign(told(value))),
    ]),
  );
}

const TERMS = {
  "term-interval": [
    "95% interval",
    "In brackets after a mean: made such that, of 100 samples of questions, about 95 give one that holds the mean over all questions of the kind.",
  ],
  "term-front": [
    "Pareto front",
    "The rows that no other row beats in both of two things, such as quality and latency.",
  ],
  "term-oracle": [
    "oracle",
    "A method that is shown gold, which no real system has: a bound, not a competitor.",
  ],
  "term-external": ["external", "Answers of another program, imported and scored here, not run."],
  "term-right": [
    "right and wrong",
    "In the questions: whether the answer scores 1 in what \u201cRight means\u201d says there, exact match unless changed.",
  ],
  "about-method": [
    "Method",
    "How the model was given its memory, with the settings that are not its defaults below the name.",
  ],
};

function startGlossary() {
  const terms = Object.entries(page.columns).map(([key, { heading, help }]) => [
    aboutId(key),
    [heading, help],
  ]);
  byId("glossary").append(
    el(
      "dl",
      { class: "terms" },
      [...terms, ...Object.entries(TERMS)].map(([id, [name, help]]) =>
        el("div", {}, el("dt", {}, name), el("dd", { id }, help)),
      ),
    ),
  );
}
