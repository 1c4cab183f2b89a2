(() => {
  "use strict";
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 640px)");
  const ACCENT = "#0072B2";
  const SKY = "#56B4E9";
  const PAPER = "#FFFFFE";
  const config = { displaylogo: false, displayModeBar: false, responsive: true };
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // Colours live in the style sheet; a figure takes those of the theme that it is drawn in.
  const themed = (figure) => {
    const layout = structuredClone(figure.layout);
    layout.font.color = style("--ink");
    layout.hoverlabel = { bgcolor: style("--paper"), bordercolor: style("--rule"),
      font: { color: style("--ink") }, align: "left", namelength: -1 };
    for (const key of Object.keys(layout).filter((name) => /^[xy]axis/.test(name))) {
      layout[key].gridcolor = style("--rule");
      layout[key].linecolor = style("--rule");
      layout[key].tickfont = { color: style("--muted") };
    }
    if (narrow.matches) {
      layout.font.size = 12;
      layout.dragmode = false;
    }
    // The dark theme's accent is the palette's sky blue, which gives way to its yellow.
    const text = JSON.stringify(figure.data)
      .replaceAll(SKY, style("--sky")).replaceAll(ACCENT, style("--accent"))
      .replaceAll(PAPER, style("--paper"));
    return [JSON.parse(text), layout];
  };

  const figures = [...document.querySelectorAll("[data-figure]")].map((place) => ({
    place,
    figure: JSON.parse(document.getElementById(`figure-${place.dataset.figure}`).textContent),
  }));
  const draw = ({ place, figure }) => Plotly.react(place, ...themed(figure), config);
  const redraw = () => Promise.all(figures.map(draw));
  redraw().then(() => { document.documentElement.dataset.drawn = String(figures.length); });
  dark.addEventListener("change", redraw);
  narrow.addEventListener("change", redraw);

  const links = new Map([...document.querySelectorAll("nav a")].map((a) => [a.hash.slice(1), a]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((one) => one.isIntersecting)) {
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entry.target.id).setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-10% 0px -80% 0px" });
  document.querySelectorAll("main section").forEach((section) => seen.observe(section));
})();
