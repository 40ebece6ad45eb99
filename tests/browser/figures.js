// Every picture: its size, its name, and what of its text stands outside.
async () => {
  const text = (ids) => ids.split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" ");
  const svg = [...document.querySelectorAll("svg")].map((it) => {
    const frame = it.getBoundingClientRect();
    const outside = [...it.querySelectorAll("text")].filter((word) => {
      const box = word.getBoundingClientRect();
      return box.width > 0 && (box.left < frame.left - 1 || box.right > frame.right + 1
        || box.top < frame.top - 1 || box.bottom > frame.bottom + 1);
    }).map((word) => word.textContent);
    // Markers stand once in the picture and are drawn by reference.
    const unseen = [...it.querySelectorAll("use")].filter((mark) => {
      const box = mark.getBoundingClientRect();
      const style = getComputedStyle(mark);
      return box.width < 1 && box.height < 1 || (style.fill === "none" && style.stroke === "none");
    }).length;
    return { unseen, role: it.getAttribute("role"), name: text(it.getAttribute("aria-labelledby") ?? ""),
      width: frame.width, height: frame.height, outside };
  });
  const img = [];
  for (const it of document.querySelectorAll("img")) {
    it.loading = "eager";
    await it.decode();
    img.push({ width: it.naturalWidth, alt: it.alt, source: it.src.slice(0, 5) });
  }
  return { svg, img };
}
