// Everything that a keyboard should reach, in order; leaves a function that tells where it is and whether that shows.
() => {
  const all = [...document.querySelectorAll("a[href], button, select, summary, [tabindex='0']")]
    .filter((it) => it.checkVisibility({ visibilityProperty: true }));
  window.whereFocusIs = () => {
    const it = document.activeElement;
    const style = getComputedStyle(it);
    const box = it.getBoundingClientRect();
    return {
      place: all.indexOf(it),
      isOutlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
      isInView: box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
    };
  };
  return all.map((it) => `${it.tagName} ${it.textContent.trim().slice(0, 40)}`);
}
