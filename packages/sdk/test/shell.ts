import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const MAIN = join(import.meta.dirname, '../src/cli/main.ts')
const NODE = [process.execPath, '--conditions=source', '--no-warnings', MAIN]

/** `script` of util-linux gives a command a terminal. */
export const hasTerminals = spawnSync('script', ['--version']).status === 0

/** What a command did. */
export interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  // A test reads what it expects and fails where that is absent.
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly json: any
}

interface RunOptions {
  readonly env?: Record<string, string>
  readonly input?: string
  readonly onStart?: (child: ChildProcess) => void
}

/** Somebody's shell, with a home and a folder of its own. */
export interface Shell extends AsyncDisposable {
  readonly folder: string
  /** What every command finds in its environment. */
  readonly env: Record<string, string>
  readonly loginFile: string
  /** Runs `nanobanana` with pipes, as a script does. */
  run(args: readonly string[], options?: RunOptions): Promise<Ran>
  /** Runs it on a terminal; each answer is typed once its question is there. */
  type(
    args: readonly string[],
    answers?: readonly (readonly [question: string, answer: string])[],
    env?: Record<string, string>,
  ): Promise<Ran>
}

export async function createShell(env: Record<string, string> = {}): Promise<Shell> {
  const folder = await mkdtemp(join(tmpdir(), 'nanobanana-cli-'))
  const config = join(folder, 'config')
  const own = { PATH: process.env['PATH'] ?? '', HOME: folder, XDG_CONFIG_HOME: config, ...env }
  return {
    folder,
    env,
    loginFile: join(config, 'nanobanana/login.json'),
    run: (args, { env: more, input = '', onStart } = {}) => {
      const [file = '', ...first] = NODE
      const child = spawn(file, [...first, ...args], { cwd: folder, env: { ...own, ...more } })
      child.stdin.end(input)
      onStart?.(child)
      return settle(child)
    },
    type: (args, answers = [], more) => {
      const command = [...NODE, ...args].map((word) => `'${word}'`).join(' ')
      const child = spawn('script', ['-qec', command, '/dev/null'], {
        cwd: folder,
        env: { TERM: 'xterm', ...own, ...more },
      })
      answerEach(child, answers)
      return settle(child)
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}

function answerEach(
  child: ReturnType<typeof spawn>,
  answers: readonly (readonly [question: string, answer: string])[],
): void {
  const left = [...answers]
  let seen = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    seen += chunk.toString()
    const [next] = left
    if (next === undefined || !seen.includes(next[0])) return
    left.shift()
    seen = ''
    child.stdin?.write(next[1])
  })
}

function settle(child: ChildProcess): Promise<Ran> {
  let [stdout, stderr] = ['', '']
  child.stdout?.on('data', (chunk: Buffer) => void (stdout += chunk.toString()))
  child.stderr?.on('data', (chunk: Buffer) => void (stderr += chunk.toString()))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => {
      const isJson = stdout.startsWith('{')
      resolve({ code, stdout, stderr, json: isJson ? JSON.parse(stdout) : undefined })
    })
  })
}
