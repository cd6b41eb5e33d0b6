import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { RateLimitRule } from '../src/ports/rate-limiter.ts'

/** How many calls each of several processes was allowed, all calling at once. */
export async function consumeInProcesses(
  url: string,
  rule: RateLimitRule,
  { processes, calls }: { processes: number; calls: number },
): Promise<number[]> {
  const script = join(import.meta.dirname, 'consume.ts')
  const args = ['--conditions=source', script, url, JSON.stringify(rule), String(calls)]
  const children = Array.from({ length: processes }, () =>
    spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] }),
  )
  // Each says that it is ready, and all begin with the last of them.
  await Promise.all(children.map((child) => once(child.stdout, 'data')))
  for (const child of children) child.stdin.end()
  return Promise.all(children.map(async (child) => Number(await text(child.stdout))))
}
