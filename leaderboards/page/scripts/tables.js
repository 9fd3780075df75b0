"use strict";
/* Tables: one at a time, sorted, filtered, with the columns of one group. */

const ESSENTIALS = "Essentials",
  CHOSEN = "Chosen";
const GROUPS = ["Quality", "Retrieval", "Speed", "Usage", "Space", "Mishaps"];
const tableState = {
  name: null,
  sort: null,
  falling: true,
  filter: "",
  group: ESSENTIALS,
  oracles: true,
};

const tableOf = (name) => page.tables.find((table) => table.name === name);
const aboutId = (key) => `about-${key.replace(/[^a-z0-9_]/gi, "-")}`;

/** A cell is [text, value] and, of a score, the ends of its interval; null is missing. */
const valueOf = (cell) => cell?.[1] ?? null;

function startTables() {
  const section = byId("tables");
  if (!page.tables.length) return;
  tableState.name = page.tables[0].name;
  if (Object.values(page.columns).some(({ chosen }) => chosen)) tableState.group = CHOSEN;
  const change = (changed) => {
    Object.assign(tableState, changed);
    showTable();
  };
  if (page.notes.length) {
    const notes = page.notes.map((note) => el("p", {}, foreign(note)));
    section.append(el("div", { class: "warning" }, notes));
  }
  section.append(tableControls(change), el("div", { id: "table" }));
  showTable();
}

function tableControls(change) {
  const { name: first, group: shown } = tableState;
  const tables = page.tables.map(({ name, short }) => [name, short]);
  const groups = [...(shown === CHOSEN ? [CHOSEN] : []), ESSENTIALS, ...GROUPS, "All"];
  const names = groups.map((name) => [name, name]);
  const filter = el("input", {
    type: "search",
    id: "row-filter",
    placeholder: "Name or setting",
    oninput: () => change({ filter: filter.value }),
  });
  const oracles = el("input", {
    type: "checkbox",
    id: "with-oracles",
    checked: true,
    onchange: () => change({ oracles: oracles.checked }),
  });
  const hasOracles = page.tables.some(({ rows }) => rows.some(({ oracle }) => oracle));
  return el(
    "div",
    { class: "controls" },
    tables.length <= 8
      ? choice("Table", tables, first, (name) => change({ name }))
      : chooser("Table", "table-choice", tables, first, (name) => change({ name })),
    choice("Columns", names, shown, (group) => change({ group })),
    el("label", {}, "Methods", filter),
    hasOracles ? el("label", { class: "check" }, oracles, "with oracles") : null,
  );
}

function shownColumns(table) {
  const { group } = tableState;
  return table.columns.filter((key) => {
    const column = page.columns[key];
    if (group === "All") return true;
    if (group === CHOSEN) return column.chosen;
    return group === ESSENTIALS ? column.essential || isTold(table, key) : column.group === group;
  });
}

/** Mishaps are told unasked wherever there are any. */
const isTold = (table, key) =>
  ["errors", "unanswered"].includes(key) && table.rows.some(({ cells }) => valueOf(cells[key]));

function shownRows(table) {
  const words = tableState.filter.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = table.rows.filter((row) => {
    const text = `${row.label} ${row.title}`.toLowerCase();
    return (tableState.oracles || !row.oracle) && words.every((word) => text.includes(word));
  });
  const { sort, falling } = tableState;
  if (!sort) return rows;
  const key = sort === "method" ? (row) => row.label : (row) => valueOf(row.cells[sort]);
  return [...rows].sort((one, other) => compared(key(one), key(other), falling));
}

/** Order of two values; what is missing comes last either way. */
function compared(one, other, falling) {
  if (one === null || other === null) return (one === null) - (other === null);
  const order =
    typeof one === "number" ? one - other : String(one).localeCompare(String(other), "en");
  return falling ? -order : order;
}

function sortBy(key) {
  const better = page.columns[key]?.better;
  const first = key !== "method" && better !== "low";
  const falling = tableState.sort === key ? !tableState.falling : first;
  Object.assign(tableState, { sort: key, falling });
  showTable();
  byId(`sort-${key}`)?.focus();
}

function showTable() {
  const table = tableOf(tableState.name);
  const columns = shownColumns(table),
    rows = shownRows(table);
  const body = el(
    "tbody",
    {},
    rows.map((row) => tableRow(row, columns)),
  );
  const grid = el(
    "table",
    {},
    el("caption", { class: "unseen" }, table.title),
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        header("method", "Method", "first"),
        columns.map((key) => header(key, page.columns[key].label)),
      ),
    ),
    body,
  );
  const shown =
    rows.length === table.rows.length ? "" : `${rows.length} of ${table.rows.length} rows`;
  byId("table").replaceChildren(
    el(
      "div",
      { class: "card" },
      columns.length
        ? null
        : el("p", { class: "facts" }, "No row of this table has such a column; another table may."),
      el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": table.title }, grid),
      el(
        "div",
        { class: "facts", role: "status" },
        el("strong", {}, foreign(table.title)),
        ` \u00b7 n = ${table.questions.toLocaleString("en-US")}${shown && ` \u00b7 ${shown}`}`,
        table.power ? el("p", { class: "power" }, table.power) : null,
        table.notes.length
          ? el(
              "ul",
              { class: "plain" },
              table.notes.map((note) => el("li", {}, foreign(note))),
            )
          : null,
        el("p", { class: "muted legend-text" }, foreign(table.legend.join(" "))),
      ),
      about(table),
    ),
  );
}

function header(key, label, kind = null) {
  const order = tableState.falling ? "descending" : "ascending";
  const button = el(
    "button",
    { class: "sort", type: "button", id: `sort-${key}`, onclick: () => sortBy(key) },
    label,
  );
  explain(button, aboutId(key));
  return el(
    "th",
    { scope: "col", class: kind, "aria-sort": tableState.sort === key ? order : "none" },
    button,
  );
}

function tableRow(row, columns) {
  const name = el(
    "span",
    { class: "name" },
    markOf(row.label, row.oracle),
    el(
      "span",
      {},
      foreign(row.name, { class: row.top ? "top-tier" : null }),
      " ",
      row.oracle ? el("span", { class: "badge" }, "oracle") : null,
      row.external ? el("span", { class: "badge" }, "external") : null,
      row.detail ? foreign(row.detail, { class: "detail" }) : null,
    ),
  );
  return el(
    "tr",
    {},
    el("th", { scope: "row", class: "first" }, name),
    columns.map((key) => tableCell(row, key)),
  );
}

function tableCell(row, key) {
  const cell = row.cells[key],
    { group } = page.columns[key];
  if (!cell) return el("td", {}, group === "Speed" && row.elsewhere ? "\u2014\u2021" : "\u2014");
  const [text, value, low, high] = cell;
  if (text.length > 30) return el("td", { class: "text" }, foreign(text));
  const [, main, rest] = text.match(/^(\S+)( .*)?$/su) ?? [null, text, ""];
  const isScore = cell.length > 2;
  return el(
    "td",
    {},
    el("span", { class: key === "f1" && row.top ? "top-tier" : null }, isScore ? main : text),
    isScore ? el("span", { class: "interval" }, rest) : null,
    isScore ? range(value, low, high) : null,
  );
}

/** An interval on a line from 0 to 100%. */
function range(mean, low, high) {
  const band = el("i"),
    point = el("b");
  band.style.insetInlineStart = `${100 * low}%`;
  band.style.width = `${100 * (high - low)}%`;
  point.style.insetInlineStart = `${100 * mean}%`;
  return el("div", { class: "range", "aria-hidden": "true" }, band, point);
}

function about(table) {
  return el(
    "details",
    { class: "facts" },
    el("summary", {}, "How this was measured"),
    el(
      "ul",
      {},
      table.caption.map((line) => el("li", {}, foreign(line))),
    ),
  );
}
