/** A line on the terminal that says what is waited for. */
export interface Progress extends Disposable {
  say(what: string): void
}

const FRAMES = '⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏'
const FRAME_MS = 100
const CLEAR = '\r\u001B[K'

/** Says nothing where nobody looks on. */
export function startProgress(what: string): Progress {
  const { stderr } = process
  if (!stderr.isTTY) return { say: () => {}, [Symbol.dispose]: () => {} }
  const begun = performance.now()
  let now = what
  let frame = 0
  const draw = () => {
    const seconds = Math.floor((performance.now() - begun) / 1000)
    stderr.write(`${CLEAR}${FRAMES[frame++ % FRAMES.length]} ${now}, ${seconds} s`)
  }
  draw()
  const timer = setInterval(draw, FRAME_MS)
  return {
    say: (next) => void (now = next),
    [Symbol.dispose]: () => {
      clearInterval(timer)
      stderr.write(CLEAR)
    },
  }
}
