import assert from 'node:assert/strict'
import { test } from 'node:test'
import { normaliseText } from '../../src/data/normalise-text.ts'
import { stripHtml } from '../../src/data/strip-html.ts'

const cases: { name: string; text: string; want: string }[] = [
  { name: 'a comparison', text: 'if a < b and c > d', want: 'if a < b and c > d' },
  { name: 'a comparison without blanks', text: 'if (a <b && c> d)', want: 'if (a <b && c> d)' },
  {
    name: 'generics',
    text: 'List<String> x = new Map<A, B>(); Foo<P> y',
    want: 'List<String> x = new Map<A, B>(); Foo<P> y',
  },
  {
    name: 'generics named like an element',
    text: 'Vec<i> and <T extends A>',
    want: 'Vec<i> and <T extends A>',
  },
  { name: 'C++', text: 'std::vector<int> v; cout << x;', want: 'std::vector<int> v; cout << x;' },
  {
    name: 'placeholders',
    text: 'kubectl get <name> -n <your-namespace>',
    want: 'kubectl get <name> -n <your-namespace>',
  },
  {
    name: 'a tag spoken of',
    text: 'use the <script> tag, and <b>bold</b>',
    want: 'use the <script> tag, and <b>bold</b>',
  },
  {
    name: 'inline code',
    text: 'use `<b>x</b>` or ``a ` <i>b</i>``',
    want: 'use `<b>x</b>` or ``a ` <i>b</i>``',
  },
  {
    name: 'fenced code',
    text: '```html\n<p>x &amp; y</p>\n```\n<p>z</p>',
    want: '```html\n<p>x &amp; y</p>\n```\n\nz',
  },
  { name: 'an open fence', text: '<b>a</b>\n~~~\n<b>c</b>', want: 'a\n~~~\n<b>c</b>' },
  { name: 'paragraphs', text: '<p>Hello <b>world</b>!</p>\n<p>Second</p>', want: 'Hello world!\n\nSecond' },
  { name: 'lists', text: '<ul>\n<li>One</li>\n<li>Two\n</ul>\nafter', want: '- One\n- Two\nafter' },
  { name: 'line breaks', text: 'a<br>b<br/>\nc<BR>d', want: 'a\nb\nc\nd' },
  { name: 'tables', text: '<table><tr><td>a</td><td>b</td></tr></table>', want: 'a b' },
  {
    name: 'preformatted text',
    text: '<pre><code>List&lt;T&gt; x;\n    y</code></pre>',
    want: 'List<T> x;\n    y',
  },
  { name: 'links and attributes', text: 'see <a href="x?a=1&b=2" target=_blank>here</a>', want: 'see here' },
  {
    name: 'scripts, styles, comments',
    text: '<!doctype html><style>p{}</style>a<!-- b --><script>c<d</script>',
    want: 'a',
  },
  { name: 'a comment that never ends', text: 'a <!-- b', want: 'a <!-- b' },
  { name: 'entities', text: '1 &lt; 2 &amp;&amp; &#8364;&nbsp;5 &#x41;', want: '1 < 2 && € 5 A' },
  { name: 'parameters of a URL', text: '?a=1&copy=2&lt=3', want: '?a=1&copy=2&lt=3' },
  { name: 'unknown entities', text: '&foo; & &', want: '&foo; & &' },
]

for (const { name, text, want } of cases)
  test(`HTML: ${name}`, () => assert.equal(normaliseText(stripHtml(text)), want))

test('hostile markup takes time by its length, not by its square', () => {
  for (const piece of ['<b>', '<p ', '</b ', '`` ` ', '<a b="', '<!--', '&amp', '<p>\n \n'])
    stripHtml(piece.repeat(100_000)) // by the square, one of these would take minutes
})

const spellings: { name: string; text: string; trim?: 'start' | 'end'; want: string }[] = [
  { name: 'composed letters', text: 'e\u0301', want: 'é' },
  { name: 'not what NFKC would change', text: 'x² ﬁ', want: 'x² ﬁ' },
  { name: 'line ends', text: 'a\r\nb\rc\u2028d', want: 'a\nb\nc\nd' },
  { name: 'exotic and invisible blanks', text: 'a\u00a0b\u200bc\ufeffd', want: 'a bcd' },
  { name: 'joined emoji', text: '👩\u200d💻', want: '👩\u200d💻' },
  { name: 'control characters', text: 'a\u0000b\u0007\tc', want: 'ab\tc' },
  { name: 'a lone surrogate', text: 'a\ud800b', want: 'a\ufffdb' },
  {
    name: 'indentation and two empty lines',
    text: 'def a():\n    x  =  1  \n\n\ndef b():',
    want: 'def a():\n    x  =  1\n\n\ndef b():',
  },
  { name: 'many empty lines', text: 'a\n\n\n\n \n\nb', want: 'a\n\n\nb' },
  { name: 'both ends', text: ' \n a \n ', want: 'a' },
  { name: 'the end of a prompt', text: ' Q: x\nA: ', trim: 'start', want: 'Q: x\nA: ' },
  { name: 'the beginning of a completion', text: ' yes \n', trim: 'end', want: ' yes' },
]

for (const { name, text, trim, want } of spellings)
  test(`spelling: ${name}`, () => assert.equal(normaliseText(text, trim), want))
