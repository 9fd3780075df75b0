"use strict";
/* Passages and other long texts: what is gold, what was read, golden answers marked. */

function passageList(given, gold, passages, golden) {
  const read = new Set(given.read),
    ranked = new Set(given.ranked);
  const others = given.read.filter((id) => !ranked.has(id));
  return [
    ...given.ranked.map((id, place) => [id, `${place + 1}`]),
    ...others.map((id) => [id, "\u2013"]),
  ].map(([id, rank]) =>
    passage(
      id,
      rank,
      passages,
      golden,
      [
        gold.includes(id) ? el("span", { class: "badge gold" }, "gold") : null,
        read.has(id) ? null : el("span", { class: "badge" }, "not read"),
        ranked.has(id) ? null : el("span", { class: "badge" }, "not ranked"),
        given.support.includes(id)
          ? el("span", { class: "badge right" }, "named as support")
          : null,
      ],
      gold.includes(id),
    ),
  );
}

function passage(id, rank, passages, golden, badges, isGold) {
  const [title, text] = Object.hasOwn(passages, id) ? passages[id] : ["", null];
  return el(
    "li",
    { class: isGold ? "passage is-gold" : "passage" },
    el(
      "div",
      {},
      rank ? `${rank}. ` : "",
      el("strong", {}, foreign(textOf(title) || id)),
      " ",
      badges.filter(Boolean).flatMap((badge) => [badge, " "]),
      title ? el("span", { class: "muted small" }, foreign(id)) : null,
    ),
    text === null ? null : longText(text, { tag: "p", marked: golden }),
  );
}

function goldDocuments(question, passages, golden) {
  if (!question.gold.length)
    return el("p", { class: "muted small" }, "No gold document is known for this question.");
  return el(
    "details",
    {},
    el("summary", { class: "small" }, `Gold documents (${question.gold.length})`),
    el(
      "ol",
      { class: "passages" },
      question.gold.map((id) => passage(id, "", passages, golden, [], true)),
    ),
  );
}

/** A text with a button for the rest if it is long, and a word if the page holds a part of it. */
function longText(value, { tag = "pre", kind = "said", marked = [], fold = 1500 } = {}) {
  const text = textOf(value),
    box = el("bdi", { dir: "auto" }),
    parts = [box];
  const show = (length) => box.replaceChildren(...highlighted(text.slice(0, length), marked));
  show(text.length > fold * 1.2 ? fold : text.length);
  if (text.length > fold * 1.2) {
    const more = el(
      "button",
      {
        class: "more",
        type: "button",
        onclick: () => {
          show(text.length);
          more.remove();
        },
      },
      ` \u2026 show all ${text.length.toLocaleString("en-US")} letters`,
    );
    parts.push(more);
  }
  if (isCut(value))
    parts.push(
      el(
        "span",
        { class: "muted small" },
        ` \u2026 ${value.of.toLocaleString("en-US")} letters in all; the rest is in the run's files`,
      ),
    );
  return el(tag, { class: kind }, parts);
}

/** The text with the golden answers in it marked. */
function highlighted(text, golden) {
  const wanted = golden
    .filter((each) => each.trim().length > 1 && each.length < 200)
    .map((each) => each.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&"));
  if (!wanted.length) return [text];
  // Split by a group: every second part is a match.
  return text
    .split(new RegExp(`(${wanted.sort((a, b) => b.length - a.length).join("|")})`, "giu"))
    .map((part, place) => (place % 2 ? el("mark", {}, part) : part));
}
