// Texts whose contrast (WCAG 2.2) is below 4.5, or 3 if they are large: what, ratio, colours.
() => {
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const rgba = (colour) => {
    if (!known.has(colour)) {
      context.clearRect(0, 0, 1, 1);
      context.fillStyle = colour;
      context.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
      known.set(colour, [r, g, b, a / 255]);
    }
    return known.get(colour);
  };
  const over = ([r, g, b, a], ground, opacity = 1) =>
    [[r, 0], [g, 1], [b, 2]].map(([c, at]) => c * a * opacity + ground[at] * (1 - a * opacity)).concat(1);
  const luminance = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const grounds = new Map();
  const ground = (element) => {
    if (!element) return [255, 255, 255, 1];
    if (!grounds.has(element))
      grounds.set(element, over(rgba(getComputedStyle(element).backgroundColor), ground(element.parentElement)));
    return grounds.get(element);
  };
  // What was painted below a word of a picture: shapes before it whose inside holds its middle.
  const below = (word) => {
    const svg = word.closest("svg");
    const box = word.getBoundingClientRect();
    const middle = new DOMPoint((box.left + box.right) / 2, (box.top + box.bottom) / 2);
    let colour = ground(svg);
    for (const shape of svg.querySelectorAll("path, rect, circle")) {
      if (!(shape.compareDocumentPosition(word) & Node.DOCUMENT_POSITION_FOLLOWING)) break;
      const style = getComputedStyle(shape);
      if (shape.closest("defs, clipPath") || style.fill === "none" || style.fill.startsWith("url")) continue;
      const frame = shape.getBoundingClientRect();
      if (middle.x < frame.left || middle.x > frame.right || middle.y < frame.top || middle.y > frame.bottom) continue;
      if (shape.isPointInFill(middle.matrixTransform(shape.getScreenCTM().inverse())))
        colour = over(rgba(style.fill), colour, Number(style.fillOpacity) * Number(style.opacity));
    }
    return colour;
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || element.closest("script, style, title, desc, .unseen")) continue;
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const style = getComputedStyle(element);
    const drawn = element.closest("svg");
    const paper = drawn ? below(element.closest("text")) : ground(element);
    const ink = over(rgba(drawn ? style.fill : style.color), paper, drawn ? Number(style.fillOpacity) : 1);
    const [high, low] = [luminance(ink), luminance(paper)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (isLarge ? 3 : 4.5))
      poor.push({ text: walker.currentNode.data.trim().slice(0, 40), ratio: Number(ratio.toFixed(2)), ink, paper });
  }
  return poor;
}
