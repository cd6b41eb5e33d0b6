import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { EXIT } from './exit-codes.ts'
import { CliError } from './failure.ts'

/** Asks on the terminal; a secret is not echoed. */
export function ask(question: string, { secret = false } = {}): Promise<string> {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  const output = secret ? nowhere : process.stderr
  const lines = createInterface({ input: process.stdin, output, terminal: true })
  const answer = new Promise<string>((resolve, reject) => {
    lines.once('line', resolve)
    lines.once('SIGINT', () => lines.close())
    lines.once('close', () => reject(new CliError(EXIT.interrupted, 'Interrupted.')))
  })
  // The echo would be redrawn over a question that it does not know of.
  if (secret) process.stderr.write(question)
  lines.setPrompt(question)
  lines.prompt()
  return answer.finally(() => {
    lines.close()
    if (secret) process.stderr.write('\n')
  })
}

/** All of standard input, without the line's end that `echo` puts there. */
export async function readInput(): Promise<string> {
  let text = ''
  process.stdin.setEncoding('utf8')
  for await (const chunk of process.stdin) text += String(chunk)
  return text.replace(/\r?\n$/, '')
}
