const words = (text: string): ReadonlySet<string> => new Set(text.split(/\s+/))

/** Elements of the HTML standard (and the few old ones that scraped pages still hold). Any other name in angle brackets is no tag: `List<String>`, `<your-name>`. */
export const HTML_ELEMENTS =
  words(`a abbr acronym address area article aside audio b base bdi bdo big blockquote body br button canvas
  caption center cite code col colgroup data datalist dd del details dfn dialog div dl dt em embed fieldset figcaption figure font
  footer form h1 h2 h3 h4 h5 h6 head header hgroup hr html i iframe img input ins kbd label legend li link main map mark menu meta
  meter nav noscript object ol optgroup option output p param picture pre progress q rp rt ruby s samp script search section
  select slot small source span strike strong style sub summary sup svg table tbody td template textarea tfoot th thead time title
  tr track tt u ul var video wbr`)

/** Have no closing tag at all. */
export const VOID_ELEMENTS = words('area base br col embed hr img input link meta param source track wbr')

/** May be left open (HTML 13.1.2.4). */
export const MAY_STAY_OPEN = words(
  'p li dt dd tr td th thead tbody tfoot colgroup option optgroup html head body',
)

/** Their content is not text for a reader. */
export const UNREAD_ELEMENTS = words('script style')

/** Begin and end on a line of their own; paragraphs also stand apart from what is around them. */
export const LINE_ELEMENTS = words(
  'address article aside body center dd div dl dt fieldset figcaption figure footer form header hr li main nav ol option section summary tr ul',
)
export const PARAGRAPH_ELEMENTS = words('blockquote details h1 h2 h3 h4 h5 h6 p pre table')

/** Attributes that are written without a value. Another bare word between the brackets makes it no tag: `if a <b and c> d`. */
export const BARE_ATTRIBUTES = words(
  'allowfullscreen async autofocus autoplay checked controls default defer disabled hidden inert ismap itemscope loop multiple muted nomodule novalidate nowrap open playsinline readonly required reversed selected',
)
