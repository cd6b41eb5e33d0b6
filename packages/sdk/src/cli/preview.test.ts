import { expect, test } from 'vitest'
import { protocolOf, toEscapes } from './preview.ts'

test.each([
  [{ TERM_PROGRAM: 'iTerm.app' }, 'iterm'],
  [{ TERM_PROGRAM: 'WezTerm' }, 'iterm'],
  [{ LC_TERMINAL: 'iTerm2' }, 'iterm'],
  [{ KITTY_WINDOW_ID: '1' }, 'kitty'],
  [{ TERM: 'xterm-kitty' }, 'kitty'],
  [{ TERM: 'xterm-ghostty' }, 'kitty'],
  [{ TERM: 'xterm-256color' }, undefined],
  [{ TERM_PROGRAM: 'Apple_Terminal' }, undefined],
  [{ TERM: 'xterm-kitty', TMUX: '/tmp/tmux' }, undefined],
  [{ TERM_PROGRAM: 'iTerm.app', STY: '1.pts' }, undefined],
  [{}, undefined],
])('takes %j for %s', (env, protocol) => {
  expect(protocolOf(env)).toBe(protocol)
})

test('kitty is sent a PNG in pieces that it takes, and nothing else', () => {
  const bytes = Uint8Array.from({ length: 10_000 }, (_, i) => i % 251)
  const written = toEscapes('kitty', bytes, 'image/png') ?? ''
  // oxlint-disable-next-line no-control-regex
  const pieces = [...written.matchAll(/\u001B_G([^;]*);([^\u001B]*)\u001B\\/g)]
  expect(pieces.map(([, keys]) => keys)).toEqual(['a=T,f=100,q=2,m=1', 'm=1', 'm=1', 'm=0'])
  expect(pieces.every(([, , data = '']) => data.length <= 4096)).toBe(true)
  const joined = pieces.map(([, , data]) => data).join('')
  expect(Buffer.from(joined, 'base64')).toEqual(Buffer.from(bytes))
  expect(toEscapes('kitty', bytes, 'image/jpeg')).toBeUndefined()
})

test('iTerm is sent any format at once', () => {
  expect(toEscapes('iterm', Uint8Array.of(1, 2, 3), 'image/webp')).toBe(
    '\u001B]1337;File=inline=1;size=3;preserveAspectRatio=1:AQID\u0007\n',
  )
})
