// What can be copied: the results with the spans that are shown.

/** The spans of a result whose score is high enough. */
export const kept = (result, least) => result.spans.filter((span) => span.score >= least);

/** The results as the service and `hyperloader tag --json` give them, one per line. */
function json(results, least) {
  return results
    .map(({ text, words, offsets, task, ...rest }) =>
      JSON.stringify({ text, words, offsets, spans: kept(rest, least), task }))
    .join("\n");
}

/** A word and its tag (BIO) per line, an empty line after each text. */
function conll(results, least) {
  return results
    .map((result) => {
      const tags = result.words.map(() => "O");
      for (const span of kept(result, least)) {
        tags.fill(`I-${span.label}`, span.word_start, span.word_end);
        tags[span.word_start] = `B-${span.label}`;
      }
      return result.words.map((word, i) => `${word}\t${tags[i]}\n`).join("");
    })
    .join("\n");
}

/** Paragraphs with a mark for each span, for other pages. */
function html(results, least) {
  return results
    .map((result) => {
      const characters = [...result.text];
      let at = 0;
      let out = "";
      for (const span of kept(result, least)) {
        const title = escape(`${span.label} ${span.score.toFixed(2)}`);
        out += escape(characters.slice(at, span.start).join(""));
        out += `<mark title="${title}">${escape(span.text)}</mark>`;
        at = span.end;
      }
      return `<p>${out}${escape(characters.slice(at).join(""))}</p>`;
    })
    .join("\n");
}

const NAMES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const escape = (text) => text.replace(/[&<>"']/g, (character) => NAMES[character]);

export const FORMATS = { json, conll, html };
