"use strict";
/* Published figures: others' numbers, in a block of their own, never among measured rows. */

function startPublished() {
  const section = byId("published");
  if (!page.published?.length) { section.remove(); return; }
}
