const MARK = '[redacted]'

/**
 * Names whose value is never logged, in the spellings of headers, JSON and code. A database's error
 * carries the values of the statement as `params` and `detail`.
 */
const SECRET_NAME =
  /^(?:authorization|cookies?|setcookie|proxyauthorization|xapikey|xgoogapikey|apikey|key|sig|signature|jwt|pepper|params|parameters|detail)$|password|passwd|passphrase|secret|token$|credential|signature$|apikey$/

const plain = (name: string) => name.toLowerCase().replace(/[^a-z0-9]/g, '')

export const isSecretName = (name: string) => SECRET_NAME.test(plain(name))

/** To the end of the line, because a cookie, a scheme or a password may hold spaces. */
const HEADER =
  /((?:proxy-)?authorization|(?:set-)?cookie|x-api-key|x-goog-api-key|pass(?:word|wd|phrase)\w{0,32})(["'\\]*\s*(?:[:=]|%3D)|["'\\]+\s*,)[^\r\n]*/gi

const PARAMETER =
  /((?:key|token|sig|signature|secret|credential|jwt)["'\\]*\s*(?:=|%3D|:(?=\s*["'\\]))\s*["'\\]*)[^\s&"'<>\\]+/gi

// NOTE: user text gets here, so repetitions are bounded where a second try could start inside them.
const PATTERNS: readonly (readonly [RegExp, string])[] = [
  [HEADER, `$1$2${MARK}`],
  [/\b(bearer|basic)\s+[\w.~+/=-]{6,}/gi, `$1 ${MARK}`],
  [/:\/\/[^\s:/@]{0,128}:[^\s"'<>]{0,512}@/g, `://${MARK}@`],
  [PARAMETER, `$1${MARK}`],
  [/\b(nb_(?:live|test)_)[0-9A-Za-z]{5,}/g, `$1${MARK}`],
  [/AIza[\w-]{6,}/g, MARK],
  [/\bAQ\.[\w-]{16,}/g, MARK],
  [/whsec_[\w+/=-]+/g, MARK],
  [/eyJ[\w-]{4,2048}(?:\.[\w-]*){1,4}/g, MARK],
  [/data:[\w.+-]{1,64}\/[\w.+-]{1,64}(?:;[\w=.-]{1,64}){0,8};base64,[\w+/=-]*/gi, '[base64]'],
  [/[A-Za-z0-9+/_-]{160,}={0,2}/g, '[base64]'],
  [/(?:[A-Za-z0-9+/]{60,}={0,2}(?:\s|\\+[rn])+){2,}[A-Za-z0-9+/]*={0,2}/g, '[base64]'],
]

/** The text without anything that looks like a credential or like image bytes. */
export function redactText(text: string): string {
  let clean = text
  for (const [pattern, replacement] of PATTERNS) clean = clean.replace(pattern, replacement)
  return clean
}
