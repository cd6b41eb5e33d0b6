import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '../../../..')

export interface Running {
  readonly url: string
  readonly pid: number
  /** Resolves to the code once the process has ended, by whatever hand; null: of a signal. */
  readonly ended: Promise<number | null>
  /** All that it has printed. */
  output(): string
  /** Asks it to end. */
  stop(): Promise<number | null>
  /** Ends it at once, without a chance to tidy up; no harm if it has ended. */
  kill(): Promise<void>
}

export type Env = Readonly<Record<string, string>>

/** The service that kills itself at the points of `points.ts`. */
export const startTestBuild = (env: Env): Promise<Running> =>
  start(['--conditions=source', 'packages/server/test/crash/service.ts'], /listens on (\S+)/, env)

/** What is shipped; `pnpm build` makes it. */
export const startReleaseBuild = (env: Env): Promise<Running> =>
  start(['packages/server/dist/main.js', 'serve'], /listens on (\S+)/, env)

/** The same without a port; its address is a word of its line. */
export const startReleaseWorker = (env: Env): Promise<Running> =>
  start(['packages/server/dist/main.js', 'worker'], /NanoBanana (works)/, env)

/** The provider, in a process of its own. */
export const startProvider = (): Promise<Running> =>
  start(
    [
      '--conditions=source',
      'packages/gemini-emulator/src/main.ts',
      '--picture-style',
      'solid',
      '--signature-bytes',
      '64',
    ],
    /^(http\S+)/,
    {},
  )

async function start(args: string[], ready: RegExp, env: Env): Promise<Running> {
  const child = spawn(process.execPath, args, {
    cwd: ROOT,
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit').then(([code]) => code as number | null)
  const output = { text: '' }
  child.stdout.on('data', (chunk: Buffer) => (output.text += chunk.toString()))
  const url = await readyUrl(child, output, ready)
  return {
    url,
    pid: child.pid!,
    ended,
    output: () => output.text,
    stop() {
      child.kill('SIGTERM')
      return ended
    },
    async kill() {
      child.kill('SIGKILL')
      await ended
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
