"use strict";
/* The page's start: its head, its sections in order, and the question that its address names. */

function startHead() {
  const models = [...new Set(page.tables.map(({ model }) => model))];
  const tasks = [...new Set(page.tables.flatMap((table) => table.tasks))];
  const dates = page.provenance
    .map(({ date }) => date)
    .filter(Boolean)
    .sort();
  const when = [...new Set([dates[0], dates.at(-1)])].filter(Boolean).join(" to ");
  const counted = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;
  byId("title").append(foreign(page.title));
  byId("lede").append(
    foreign(
      [
        counted(page.labels.length, "method"),
        counted(tasks.length, "task"),
        models.join(", "),
        when && `runs of ${when}`,
      ]
        .filter(Boolean)
        .join(" \u00b7 "),
    ),
  );
}

function startSections() {
  for (const section of document.querySelectorAll("main section")) {
    if (section.children.length < 2) {
      section.remove();
      continue;
    }
    byId("sections").append(
      el("li", {}, el("a", { href: `#${section.id}` }, section.dataset.name)),
    );
  }
}

/** Open the question of an address like #question/TABLE/ID. */
function openAddress() {
  const [kind, table, id] = location.hash.slice(1).split("/");
  if (kind !== "question" || !page.browsers.some((each) => each.table === table)) return;
  try {
    openTable(table, decodeURIComponent(id ?? ""));
  } catch {
    return; /* no id is written like this */
  }
  byId("questions").scrollIntoView();
}

startGlossary();
startHead();
startTables();
startTradeoffs();
startBars();
startScaling();
startLearning();
startPublished();
startBrowser();
startProvenance();
startSections();
startThemes();
openAddress();
addEventListener("hashchange", openAddress);
document.documentElement.dataset.ready = "yes";
