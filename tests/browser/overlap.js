// Pairs of controls of which one covers a part of the other, and controls that stick out of the page.
() => {
  const all = [...document.querySelectorAll("a, button, select, summary")]
    .filter((it) => it.checkVisibility() && !it.matches(".skip"))
    .flatMap((it) => [...it.getClientRects()].map((box) => ({ it, box })));
  const name = ({ it }) => `${it.tagName} ${it.textContent.trim().slice(0, 30)}`;
  const found = [];
  all.forEach((one, at) => {
    if (one.box.left < 0 || (one.box.right > innerWidth && !one.it.closest(".scroll"))) found.push([name(one), "page"]);
    for (const other of all.slice(at + 1)) {
      const across = Math.min(one.box.right, other.box.right) - Math.max(one.box.left, other.box.left);
      const down = Math.min(one.box.bottom, other.box.bottom) - Math.max(one.box.top, other.box.top);
      if (one.it !== other.it && across > 1 && down > 1) found.push([name(one), name(other)]);
    }
  });
  return found;
}
