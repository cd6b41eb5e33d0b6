import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '../../../..')

export interface Running extends AsyncDisposable {
  readonly url: string
  readonly pid: number
  /** Asks it to end; resolves to what it printed since it was ready. */
  stop(): Promise<string>
}

/** The service as a process of its own, with nothing of this one's environment. */
export const startServer = (env: Readonly<Record<string, string>>): Promise<Running> =>
  start(['packages/server/src/main.ts', 'serve'], /listens on (\S+)/, { DRAIN_DELAY: '0', ...env })

/** Answers are real pictures with signatures of this many characters on the picture and the text. */
export const startProvider = (signatureChars: number): Promise<Running> =>
  start(
    [
      'packages/gemini-emulator/src/main.ts',
      '--picture-style',
      'noise',
      '--signature-bytes',
      String(signatureChars),
    ],
    /^(http\S+)/,
  )

/**
 * Asks an address again and again, or a bare server where none is given; what it prints when it ends
 * are the latencies in milliseconds, as JSON.
 */
export const startProbe = (perSecond: number, url?: string): Promise<Running> =>
  start(
    ['packages/server/test/long/probe.ts', String(perSecond), ...(url === undefined ? [] : [url])],
    /^probing (\S+)\n/,
  )

/** Runs a script of ours, until it prints what `ready` finds the address in. */
async function start(
  [script = '', ...args]: string[],
  ready: RegExp,
  env: Readonly<Record<string, string>> = {},
): Promise<Running> {
  const child = spawn(process.execPath, ['--conditions=source', join(ROOT, script), ...args], {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const output = { text: '' }
  child.stdout.on('data', (chunk: Buffer) => (output.text += chunk.toString()))
  const url = await readyUrl(child, output, ready)
  const stop = async () => {
    child.kill()
    if (child.exitCode === null && child.signalCode === null) await once(child, 'close')
    return output.text.replace(ready, '')
  }
  return {
    url,
    pid: child.pid!,
    stop,
    [Symbol.asyncDispose]: async () => {
      await stop()
    },
  }
}

function readyUrl(child: ChildProcess, output: { text: string }, ready: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    child.stdout?.on('data', () => {
      const url = ready.exec(output.text)?.[1]
      if (url !== undefined) resolve(url)
    })
    child.once('exit', (code) => reject(new Error(`ended with ${code}: ${output.text}`)))
  })
}
