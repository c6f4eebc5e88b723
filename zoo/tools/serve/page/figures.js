// An analyzer's page, in a frame that does not run scripts.

import { element } from "./dom.js";

/**
 * Return a frame with the page of a data URL.
 *
 * The frame inherits the page's security policy, which forbids styles inside HTML. The styles are removed, and added
 * to the frame as style sheet objects once it has loaded.
 */
export function showPage(url, title) {
  const bytes = Uint8Array.from(atob(url.slice(url.indexOf(",") + 1)), (sign) => sign.charCodeAt(0));
  const rules = [];
  const srcdoc = new TextDecoder()
    .decode(bytes)
    .replaceAll(/<style>([^]*?)<\/style>/g, (_, text) => void rules.push(text) ?? "")
    .replaceAll(/(<[^>]*\s)style="/g, '$1data-style="');
  const onload = ({ target: { contentDocument: page, contentWindow: window, style } }) => {
    const sheet = new window.CSSStyleSheet();
    sheet.replaceSync(rules.join("\n"));
    page.adoptedStyleSheets = [sheet];
    for (const node of page.querySelectorAll("[data-style]")) node.style.cssText = node.dataset.style;
    style.height = 0; // so that the page becomes as tall as its content
    style.height = `${page.documentElement.scrollHeight + 2}px`;
  };
  return element("iframe", { class: "page", title, sandbox: "allow-same-origin", srcdoc, onload });
}
