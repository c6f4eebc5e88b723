// An analyzer's page or a model card, in a frame that does not run scripts.

import { element } from "./dom.js";

/** Return the text of a data URL. */
export function textOf(url) {
  const bytes = Uint8Array.from(atob(url.slice(url.indexOf(",") + 1)), (sign) => sign.charCodeAt(0));
  return new TextDecoder().decode(bytes);
}

/**
 * Return a frame with an HTML page, whose links open new tabs.
 *
 * The frame inherits the page's security policy, which forbids styles inside HTML. The styles are removed, and added
 * to the frame as style sheet objects once it has loaded.
 */
export function showPage(html, title) {
  const rules = [];
  const srcdoc = html
    .replaceAll(/<style>([^]*?)<\/style>/g, (_, text) => void rules.push(text) ?? "")
    .replaceAll(/(<[^>]*\s)style="/g, '$1data-style="');
  const onload = ({ target: { contentDocument: page, contentWindow: window, style } }) => {
    const sheet = new window.CSSStyleSheet();
    sheet.replaceSync(rules.join("\n"));
    page.adoptedStyleSheets = [sheet];
    for (const node of page.querySelectorAll("[data-style]")) node.style.cssText = node.dataset.style;
    for (const link of page.links) link.target = "_blank";
    style.height = 0; // so that the page becomes as tall as its content
    style.height = `${page.documentElement.scrollHeight + 2}px`;
  };
  const sandbox = "allow-same-origin allow-popups allow-popups-to-escape-sandbox";
  return element("iframe", { class: "page", title, sandbox, srcdoc, onload });
}
