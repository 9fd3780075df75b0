"use strict";
/* Elements, numbers and explanations. Text reaches the document by text nodes alone. */

const byId = (id) => document.getElementById(id);

/** An element with properties (on... are listeners) and children; a string is text, null nothing. */
function el(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (key.startsWith("aria-")) element.setAttribute(key, String(value));
    else if (value === false) continue;
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "class") element.className = value;
    else if (key === "value") element.value = value;
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Foreign text, kept from turning what stands beside it around. */
const foreign = (text, properties = {}) => el("bdi", { dir: "auto", ...properties }, text);

const plainNumber = (value) =>
  Math.abs(value) >= 100
    ? Math.round(value).toLocaleString("en-US")
    : String(Number(value.toPrecision(3)));

/** A labelled choice; `options` are pairs of value and text. */
function chooser(label, id, options, value, choose) {
  const select = el("select", { id, onchange: () => choose(select.value) });
  select.append(...options.map(([key, text]) => el("option", { value: key }, text)));
  select.value = value;
  return el("label", {}, label, select);
}

/** Buttons of which one is pressed. */
function choice(label, options, value, choose) {
  const group = el("div", { class: "choice", role: "group", "aria-label": label });
  for (const [key, text] of options) {
    group.append(
      el(
        "button",
        {
          type: "button",
          "data-key": key,
          "aria-pressed": key === value,
          onclick: () => {
            press(group, key, "key");
            choose(key);
          },
        },
        text,
      ),
    );
  }
  return el(
    "div",
    { class: "field choice-field" },
    el("span", { "aria-hidden": "true" }, label),
    group,
  );
}

function press(group, value, key) {
  for (const button of group.children)
    button.setAttribute("aria-pressed", button.dataset[key] === value);
}

/** Show what `id` explains in the glossary while `element` is pointed at or has the focus. */
function explain(element, id) {
  element.setAttribute("aria-describedby", id);
  const show = ({ type }) => {
    // A click moves the focus, too, and asks for no explanation.
    if (type === "focus" && !element.matches(":focus-visible")) return;
    const tip = byId("tip"),
      place = element.getBoundingClientRect();
    tip.textContent = byId(id).textContent;
    tip.hidden = false;
    const left = Math.min(place.left, innerWidth - tip.offsetWidth - 8);
    const above = place.bottom + tip.offsetHeight + 8 > innerHeight;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${above ? place.top - tip.offsetHeight - 6 : place.bottom + 6}px`;
  };
  for (const name of ["mouseenter", "focus"]) element.addEventListener(name, show);
  for (const name of ["mouseleave", "blur"]) element.addEventListener(name, hideTip);
}

function hideTip() {
  byId("tip").hidden = true;
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") hideTip();
});
addEventListener("scroll", hideTip, { passive: true });
