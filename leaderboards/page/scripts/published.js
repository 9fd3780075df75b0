"use strict";
/* Published figures: others' numbers, in a block of their own, never among measured rows. */

const publishedState = { task: 0, filter: "" };

function startPublished() {
  const section = byId("published"),
    { published } = page;
  if (!published) {
    section.remove();
    return;
  }
  const chosen = (change) => {
    Object.assign(publishedState, change);
    showPublished();
  };
  const filter = el("input", {
    type: "search",
    id: "published-filter",
    placeholder: "Name, source, model",
    oninput: () => chosen({ filter: filter.value }),
  });
  section.append(
    el(
      "div",
      { class: "warning" },
      el("p", {}, el("strong", {}, `${published.heading}. `)),
      published.caption.map((line) => el("p", {}, line)),
    ),
    el(
      "div",
      { class: "controls" },
      choice(
        "Task",
        published.tasks.map(({ name }, place) => [String(place), name]),
        "0",
        (task) => chosen({ task: Number(task) }),
      ),
      el("label", {}, "Filter", filter),
    ),
    el("div", { id: "published-table" }),
  );
  showPublished();
}

function showPublished() {
  const { tasks, footnotes } = page.published,
    { name, lines } = tasks[publishedState.task];
  const words = publishedState.filter.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = ({ cells }) =>
    words.every((word) => Object.values(cells).join(" ").toLowerCase().includes(word));
  const shown = lines.filter(fits);
  const headers = Object.keys(lines[0].cells).filter((header) =>
    lines.some(({ cells }) => cells[header] !== "\u2014"),
  );
  const numbers = ["EM", "F1", "Contains"];
  const head = headers.map((header, place) =>
    el(
      "th",
      { scope: "col", class: place ? (numbers.includes(header) ? null : "text") : "first" },
      header,
    ),
  );
  const rows = shown.map(({ cells, notes, claim }) =>
    el(
      "tr",
      { class: claim ? "claim" : null },
      headers.map((header, place) => {
        const text = foreign(cells[header]);
        if (place) return el("td", { class: numbers.includes(header) ? null : "text" }, text);
        return el(
          "th",
          { scope: "row", class: "first" },
          text,
          el("sup", {}, ` ${notes.join(", ")}`),
        );
      }),
    ),
  );
  const told = [...new Set(shown.flatMap(({ notes }) => notes))].sort((one, other) => one - other);
  byId("published-table").replaceChildren(
    el(
      "div",
      { class: "card" },
      el(
        "div",
        {
          class: "scroll tall",
          tabindex: 0,
          role: "region",
          "aria-label": `Published figures: ${name}`,
        },
        el(
          "table",
          {},
          el("caption", { class: "unseen" }, `Published figures: ${name}`),
          el("thead", {}, el("tr", {}, head)),
          el("tbody", {}, rows),
        ),
      ),
      el(
        "details",
        { class: "facts" },
        el("summary", {}, `${shown.length} of ${lines.length} lines; sources and settings`),
        el(
          "ul",
          {},
          told.map((number) => el("li", {}, foreign(`(${number}) ${footnotes[number - 1]}`))),
        ),
      ),
    ),
  );
}
