"use strict";
/* The browser of questions: filters, search and a list of which only the visible part is there. */

const OPTION = 66;
const browserState = {
  table: null,
  index: null,
  score: "em",
  search: "",
  order: "id",
  sides: [
    { method: "", right: "yes" },
    { method: "", right: "no" },
  ],
  shown: [],
  current: null,
};

const headOf = (name) => page.browsers.find(({ table }) => table === name);

function startBrowser() {
  const section = byId("questions");
  if (!page.browsers.length) {
    section.remove();
    return;
  }
  section.append(
    el("div", { class: "controls", id: "question-controls" }),
    el("p", { class: "muted small", id: "question-about" }),
    el(
      "div",
      { class: "browser" },
      el(
        "div",
        {},
        el("p", { class: "small muted", role: "status", id: "question-count" }),
        el(
          "div",
          {
            class: "card list",
            id: "question-list",
            role: "listbox",
            tabindex: 0,
            "aria-label": "Questions",
            onscroll: showOptions,
            onkeydown: moveInList,
          },
          el("div", { class: "all" }),
        ),
      ),
      el("article", { class: "card question", id: "question" }),
    ),
  );
  new IntersectionObserver(
    (entries, self) => {
      if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
      self.disconnect();
      if (!browserState.table) openTable(page.browsers[0].table);
    },
    { rootMargin: "800px" },
  ).observe(section);
}

/** Show the questions of a table, of them first the one of an id. */
async function openTable(name, id = null) {
  const state = browserState;
  state.table = name;
  state.index = await unpack(`${name}-index`);
  if (state.table !== name) return; // another one was chosen meanwhile
  for (const side of state.sides) {
    if (!state.index.methods.some(({ label }) => label === side.method)) side.method = "";
  }
  if (!state.index.methods.some(({ scores }) => scores[state.score])) state.score = "em";
  showControls();
  showAbout();
  applyFilters(id);
}

function showControls() {
  const { index, sides } = browserState;
  const labels = index.methods.map(({ label }) => [label, shortName(label)]);
  const changed = (change) => {
    Object.assign(browserState, change);
    applyFilters();
  };
  const search = el("input", {
    type: "search",
    id: "question-search",
    placeholder: "Any words",
    value: browserState.search,
    oninput: () => changed({ search: search.value }),
  });
  const side = (place, title) => {
    const set = (change) => {
      Object.assign(sides[place], change);
      applyFilters();
    };
    const method = el(
      "select",
      { "aria-label": title, id: `side-${place}`, onchange: () => set({ method: method.value }) },
      [["", "any method"], ...labels].map(([value, text]) => el("option", { value }, text)),
    );
    const right = el(
      "select",
      {
        "aria-label": `${title}: right or wrong`,
        id: `right-${place}`,
        onchange: () => set({ right: right.value }),
      },
      [
        ["yes", "right"],
        ["no", "wrong"],
      ].map(([value, text]) => el("option", { value }, text)),
    );
    method.value = sides[place].method;
    right.value = sides[place].right;
    return el(
      "div",
      { class: "field" },
      el("span", { "aria-hidden": "true" }, title),
      el("div", { class: "pair" }, method, right),
    );
  };
  const tables = page.browsers.map(({ table }) => [table, tableOf(table).short]);
  const scores = [
    ["em", "EM = 1"],
    ["contains", "it contains gold"],
    ["f1", "F1 \u2265 0.5"],
  ].filter(([name]) => index.methods.some((method) => method.scores[name]));
  const orders = [
    ["id", "id"],
    ["hard", "hardest first"],
    ["apart", "most disagreement"],
  ];
  byId("question-controls").replaceChildren(
    chooser("Table", "question-table", tables, browserState.table, (name) => openTable(name)),
    el("label", {}, "Search", search),
    side(0, "Where"),
    side(1, "and"),
    chooser("Right means", "right-means", scores, browserState.score, (score) =>
      changed({ score }),
    ),
    chooser("Order", "question-order", orders, browserState.order, (order) => changed({ order })),
  );
}

function showAbout() {
  const head = headOf(browserState.table),
    { index } = browserState;
  const parts = [];
  if (head.questions < head.of) {
    parts.push(
      `${head.questions.toLocaleString("en-US")} of ${head.of.toLocaleString("en-US")} questions stand in this page, ` +
        "a fixed random sample by the hash of their ids; the tables are of all of them.",
    );
  }
  const seeds = index.methods.filter((method) => method.seeds > 1);
  if (seeds.length) {
    parts.push(
      `Answers are of the first seed where there are several: ${seeds.map(({ label, seed }) => `${shortName(label)} ${seed}`).join(", ")}.`,
    );
  }
  if (head.lacking) parts.push(head.lacking);
  byId("question-about").replaceChildren(foreign(parts.join(" ")));
}

/** Whether a method's answer counts as right; null where it has none. */
function isRight(method, place) {
  const value = method.scores[browserState.score]?.[place];
  if (value === null || value === undefined) return null;
  return browserState.score === "f1" ? value >= 0.5 : value >= 1;
}

function applyFilters(id = null) {
  const { index, sides, search, order } = browserState;
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const asked = sides.flatMap(({ method, right }) => {
    const found = index.methods.find(({ label }) => label === method);
    return found ? [[found, right === "yes"]] : [];
  });
  const fits = (place) =>
    asked.every(([method, right]) => isRight(method, place) === right) &&
    (!words.length || matches(index, place, words));
  const every = [...index.ids.keys()].filter(fits);
  const rights = (place) => index.methods.filter((method) => isRight(method, place)).length;
  const by = {
    id: (one, other) => index.ids[one].localeCompare(index.ids[other], "en", { numeric: true }),
    hard: (one, other) => rights(one) - rights(other),
    apart: (one, other) =>
      Math.abs(rights(one) - index.methods.length / 2) -
      Math.abs(rights(other) - index.methods.length / 2),
  };
  browserState.shown = every.sort((one, other) => by[order](one, other) || by.id(one, other));
  byId("question-count").textContent =
    `${every.length.toLocaleString("en-US")} of ${index.ids.length.toLocaleString("en-US")} questions`;
  const wanted = id === null ? browserState.current : index.ids.indexOf(id);
  const place = browserState.shown.indexOf(wanted);
  byId("question-list").firstChild.style.height = `${OPTION * every.length}px`;
  select(Math.max(0, place), { scroll: true });
}

function matches(index, place, words) {
  const text = [
    index.ids[place],
    textOf(index.questions[place]),
    ...index.gold[place].map(textOf),
    ...index.methods.map(({ answers }) => answers[place] ?? ""),
  ]
    .join("\n")
    .toLowerCase();
  return words.every((word) => text.includes(word));
}

/** Make the question at a place of the list the current one. */
function select(place, { scroll = false } = {}) {
  const { shown } = browserState,
    list = byId("question-list");
  browserState.current = shown[place] ?? null;
  if (scroll) {
    const top = place * OPTION;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + OPTION > list.scrollTop + list.clientHeight)
      list.scrollTop = top + OPTION - list.clientHeight;
  }
  showOptions();
  showQuestion(browserState.current);
}

/** Put the visible options, and a few around them, into the list. */
function showOptions() {
  const { shown, index, current } = browserState,
    list = byId("question-list");
  if (!index) return;
  const first = Math.max(0, Math.floor(list.scrollTop / OPTION) - 6);
  const last = Math.min(shown.length, first + Math.ceil(list.clientHeight / OPTION) + 12);
  const options = [];
  for (let place = first; place < last; place += 1) options.push(option(place, shown[place]));
  list.firstChild.replaceChildren(...options);
  const active = shown.indexOf(current);
  if (active >= first && active < last)
    list.setAttribute("aria-activedescendant", `option-${active}`);
  else list.removeAttribute("aria-activedescendant");
}

function option(place, question) {
  const { index, shown, current } = browserState;
  const glyphs = index.methods.map((method) => {
    const right = isRight(method, question);
    const [kind, sign, word] =
      right === null
        ? ["", "\u2013", "no answer"]
        : right
          ? ["right", "\u2713", "right"]
          : ["wrong", "\u2717", "wrong"];
    const name = `${shortName(method.label)}: ${word}`;
    return el(
      "span",
      { class: `glyph ${kind}`, role: "img", "aria-label": name, title: name },
      sign,
    );
  });
  const element = el(
    "div",
    {
      class: "option",
      role: "option",
      id: `option-${place}`,
      "aria-selected": question === current,
      "aria-posinset": place + 1,
      "aria-setsize": shown.length,
      onclick: () => select(place),
    },
    foreign(textOf(index.questions[question]).replace(/\s+/g, " "), { class: "ask" }),
    el("span", { class: "glyphs" }, glyphs),
  );
  element.style.top = `${place * OPTION}px`;
  return element;
}

function moveInList(event) {
  const { shown, current } = browserState,
    last = shown.length - 1,
    place = shown.indexOf(current);
  const screen = Math.max(1, Math.floor(byId("question-list").clientHeight / OPTION) - 1);
  const moves = {
    ArrowDown: place + 1,
    ArrowUp: place - 1,
    PageDown: place + screen,
    PageUp: place - screen,
    Home: 0,
    End: last,
  };
  if (!(event.key in moves) || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  if (last >= 0) select(Math.min(last, Math.max(0, moves[event.key])), { scroll: true });
}
