/** How a terminal takes pictures: kitty's protocol has PNG alone, iTerm's any format. */
export type Protocol = 'kitty' | 'iterm'

type Variables = Readonly<Record<string, string | undefined>>

/** Of terminals that are known to take pictures; a multiplexer between would print them as text. */
export function protocolOf(env: Variables): Protocol | undefined {
  if (env['TMUX'] || env['STY']) return undefined
  const program = env['TERM_PROGRAM']
  if (program === 'iTerm.app' || program === 'WezTerm' || env['LC_TERMINAL'] === 'iTerm2') {
    return 'iterm'
  }
  const isKitty = env['KITTY_WINDOW_ID'] || /^xterm-(kitty|ghostty)$/.test(env['TERM'] ?? '')
  return isKitty || program === 'ghostty' ? 'kitty' : undefined
}

const ESCAPE = '\u001B'
const BELL = '\u0007'
/** kitty takes no more in one piece. */
const PIECE = 4096

/** What makes the terminal show the picture; undefined where it cannot. */
export function toEscapes(
  protocol: Protocol,
  bytes: Uint8Array,
  mimeType: string,
): string | undefined {
  const base64 = Buffer.from(bytes).toString('base64')
  if (protocol === 'iterm') {
    return `${ESCAPE}]1337;File=inline=1;size=${bytes.length};preserveAspectRatio=1:${base64}${BELL}\n`
  }
  if (mimeType !== 'image/png') return undefined
  const pieces = base64.match(new RegExp(`.{1,${PIECE}}`, 'g')) ?? []
  const written = pieces.map((piece, i) => {
    const more = i < pieces.length - 1 ? 1 : 0
    return `${ESCAPE}_G${i === 0 ? 'a=T,f=100,q=2,' : ''}m=${more};${piece}${ESCAPE}\\`
  })
  return `${written.join('')}\n`
}
