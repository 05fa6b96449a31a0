// Markdown as Discord's, drawn with DOM nodes only: text from agents never becomes HTML, so it cannot run.

const INLINE = new RegExp(
  [
    "(?<code>`+)(?<codeText>[^`]+)\\k<code>",
    "\\*\\*(?<bold>[^*]+(?:\\*[^*]+\\*[^*]*)*)\\*\\*",
    "__(?<under>[^_]+)__",
    "~~(?<strike>[^~]+)~~",
    "\\*(?<italicStar>[^*\\s](?:[^*]*[^*\\s])?)\\*",
    "(?<![\\w])_(?<italicBar>[^_\\s](?:[^_]*[^_\\s])?)_(?![\\w])",
    "\\[(?<label>[^\\]]{1,200})\\]\\((?<href>https?://[^\\s)]{1,500})\\)",
    "(?<url>https?://[^\\s<>)\\]]{1,500})",
    "(?<![\\w/])@(?<mention>[a-z][a-z0-9-]{1,40})",
    "(?<![\\w/])(?<command>/(?:status|agents|loop(?: (?:start|pause|resume|stop|status|plan))?|cost|ask|report|why|help)\\b)",
  ].join("|"),
);
const DEEPEST = 4;

const element = (tag, className, ...children) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
};

const link = (href, label) => {
  const node = element("a", "", label);
  node.href = href;
  node.target = "_blank";
  node.rel = "noopener noreferrer";
  return node;
};

/** One line's text as nodes: bold, italics, underline, strike, code, links, mentions. */
export function inline(text, depth = 0) {
  const nodes = [];
  let rest = text;
  while (rest) {
    const match = depth < DEEPEST ? INLINE.exec(rest) : null;
    if (!match) {
      nodes.push(rest);
      break;
    }
    if (match.index > 0) nodes.push(rest.slice(0, match.index));
    const part = match.groups;
    const wrap = (tag, inner) => nodes.push(element(tag, "", ...inline(inner, depth + 1)));
    if (part.codeText !== undefined) nodes.push(element("code", "", part.codeText));
    else if (part.bold !== undefined) wrap("strong", part.bold);
    else if (part.under !== undefined) wrap("u", part.under);
    else if (part.strike !== undefined) wrap("s", part.strike);
    else if (part.italicStar !== undefined) wrap("em", part.italicStar);
    else if (part.italicBar !== undefined) wrap("em", part.italicBar);
    else if (part.label !== undefined) nodes.push(link(part.href, part.label));
    else if (part.url !== undefined) nodes.push(link(part.url, part.url));
    else if (part.mention !== undefined) nodes.push(element("span", "mention", `@${part.mention}`));
    else nodes.push(element("span", "slash", part.command));
    rest = rest.slice(match.index + match[0].length);
  }
  return nodes;
}

const cells = (line) => line.trim().replace(/^\|/, "").replace(/\|$/, "").split("|").map((cell) => cell.trim());
const isRule = (line) => /^\s*\|?\s*:?-{2,}:?\s*(\|\s*:?-{2,}:?\s*)*\|?\s*$/.test(line) && line.includes("-");
const looksNumeric = (cell) => /^[~$+\-−–]?[\d.,:]+(\s?[%a-zA-Z/$–-].*)?$/.test(cell) || cell === "–" || cell === "—";

function table(rows) {
  const [head, rule, ...body] = rows.map(cells);
  const right = head.map((_, i) => rule[i]?.endsWith(":") || body.every((row) => looksNumeric(row[i] ?? "–")));
  const row = (tag, values) =>
    element("tr", "", ...head.map((_, i) => element(tag, right[i] ? "num" : "", ...inline(values[i] ?? ""))));
  const node = element("table", "", element("thead", "", row("th", head)), element("tbody", "", ...body.map((r) => row("td", r))));
  const scroll = element("div", "table", node);
  scroll.tabIndex = 0;
  return scroll;
}

/** How the lines from `start` that belong together are drawn, and where the next block begins. */
function block(lines, start) {
  const line = lines[start];
  const take = (test) => {
    let end = start;
    while (end < lines.length && test(lines[end], end)) end += 1;
    return end;
  };
  if (/^\s*```/.test(line)) {
    let end = start + 1;
    while (end < lines.length && !/^\s*```\s*$/.test(lines[end])) end += 1;
    const pre = element("pre", "", element("code", "", lines.slice(start + 1, end).join("\n")));
    pre.tabIndex = 0;
    return [pre, end + 1];
  }
  const heading = /^(#{1,3})\s+(.*)$/.exec(line);
  if (heading) return [element(`h${heading[1].length + 3}`, "", ...inline(heading[2])), start + 1];
  if (line.startsWith("-# ")) return [element("p", "subtext", ...inline(line.slice(3))), start + 1];
  if (line.includes("|") && start + 1 < lines.length && isRule(lines[start + 1])) {
    const end = take((text) => text.includes("|"));
    return [table(lines.slice(start, end)), end];
  }
  if (/^\s*>\s?/.test(line)) {
    const end = take((text) => /^\s*>\s?/.test(text));
    const quote = element("blockquote", "");
    quote.append(paragraph(lines.slice(start, end).map((text) => text.replace(/^\s*>\s?/, ""))));
    return [quote, end];
  }
  const marker = /^(\s*)([-*•]|\d{1,3}[.)])\s+/.exec(line);
  if (marker) return list(lines, start, /\d/.test(marker[2]) ? "ol" : "ul");
  const end = Math.max(
    start + 1,
    take((text, at) => text.trim() && (at === start || !/^(\s*```|#{1,3}\s|\s*>|-# |\s*([-*•]|\d{1,3}[.)])\s)/.test(text)) &&
      !(text.includes("|") && at + 1 < lines.length && isRule(lines[at + 1]))),
  );
  return [paragraph(lines.slice(start, end)), end];
}

function list(lines, start, tag) {
  const items = [];
  let end = start;
  for (; end < lines.length; end += 1) {
    const item = /^(\s*)(?:[-*•]|\d{1,3}[.)])\s+(.*)$/.exec(lines[end]);
    if (item) items.push(element("li", item[1].length >= 2 ? "deeper" : "", ...inline(item[2])));
    else if (/^\s{2,}\S/.test(lines[end]) && items.length) items.at(-1).append(document.createElement("br"), ...inline(lines[end].trim()));
    else break;
  }
  const node = element(tag, "", ...items);
  if (tag === "ol") node.start = Number.parseInt(lines[start].trim(), 10) || 1;
  return [node, end];
}

function paragraph(lines) {
  const node = element("p", "");
  lines.forEach((line, i) => {
    if (i > 0) node.append(document.createElement("br"));
    node.append(...inline(line));
  });
  return node;
}

/** A message's Markdown as a fragment. */
export function markdown(text) {
  const fragment = document.createDocumentFragment();
  const lines = text.replaceAll("\r\n", "\n").split("\n");
  let at = 0;
  while (at < lines.length) {
    if (!lines[at].trim()) {
      at += 1;
      continue;
    }
    const [node, next] = block(lines, at);
    fragment.append(node);
    at = next;
  }
  return fragment;
}

export { element };
