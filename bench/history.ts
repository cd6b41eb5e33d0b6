// Pages of the list and months of usage, at 10 thousand and at 1 million generations of one account:
// `node --conditions=source bench/history.ts postgres://…`; exit 1 when one takes more than twice as long.
import { type Filled, startFilled } from '../packages/server/test/long/filled.ts'

const SIZES = [10_000, 1_000_000]
const ROUNDS = 300
/** A search reads every prompt, so it is measured less often. */
const SEARCH_ROUNDS = 10
const WARM_UP = 20
/** With pages of ten the smaller account has just a thousand. */
const LIMIT = 10
const CURSORS = 999
const MAX_RATIO = 2

interface Times {
  readonly median: number
  readonly p95: number
}

/** Milliseconds from asking to the last byte of the answer. */
async function timeOf({ url, token }: Filled, path: string): Promise<number> {
  const begun = performance.now()
  const answer = await fetch(url + path, { headers: { authorization: `Bearer ${token}` } })
  const text = await answer.text()
  // A search that the database's limit on statements ended has taken that long.
  const ended = answer.status === 503 && path.includes('&q=')
  if (answer.status !== 200 && !ended) throw new Error(`${path}: ${text}`)
  return performance.now() - begun
}

async function cursorAfter({ url, token }: Filled, pages: number): Promise<string> {
  let cursor = ''
  for (let n = 0; n < pages; n++) {
    const query = cursor === '' ? '' : `&cursor=${cursor}`
    const answer = await fetch(`${url}/v1/generations?limit=${LIMIT}${query}`, {
      headers: { authorization: `Bearer ${token}` },
    })
    cursor = ((await answer.json()) as { next_cursor: string }).next_cursor
  }
  return cursor
}

/** The same at every size, turn by turn, so that what else the machine does meets all alike. */
async function measure(
  filled: readonly Filled[],
  pathOf: (one: Filled) => string,
  rounds: number,
): Promise<Times[]> {
  const times = filled.map((): number[] => [])
  for (let round = -Math.min(WARM_UP, rounds / 5); round < rounds; round++) {
    for (const [index, one] of filled.entries()) {
      const ms = await timeOf(one, pathOf(one))
      if (round >= 0) times[index]?.push(ms)
    }
  }
  return times.map(timesOf)
}

function timesOf(list: readonly number[]): Times {
  const sorted = list.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.ceil(sorted.length * share) - 1] ?? Number.NaN
  return { median: at(0.5), p95: at(0.95) }
}

const day = (daysAgo: number) =>
  new Date(Date.now() - daysAgo * 86_400_000).toISOString().slice(0, 10)

const page = (filters = '') => `/v1/generations?limit=${LIMIT}${filters}`
const month = (by: string) => `/v1/usage?from=${day(60)}&to=${day(31)}&group_by=${by}`

const print = (line: string) => void process.stdout.write(`${line}\n`)

/** Prints a row of the table; false: the ratio is beyond what is claimed. */
function report(name: string, times: readonly Times[]): boolean {
  const [small, large] = times as [Times, Times]
  const cell = (ms: number) => (ms < 100 ? ms.toFixed(1) : ms.toFixed(0))
  const ratios = [large.median / small.median, large.p95 / small.p95]
  const cells = [small.median, small.p95, large.median, large.p95].map(cell)
  print(`| ${[name, ...cells, ...ratios.map((ratio) => ratio.toFixed(2))].join(' | ')} |`)
  return ratios.every((ratio) => ratio <= MAX_RATIO)
}

async function run(server: string): Promise<boolean> {
  await using stack = new AsyncDisposableStack()
  const filled: Filled[] = []
  for (const size of SIZES) filled.push(stack.use(await startFilled(server, size)))
  for (const { generations, fillMs } of filled)
    print(`${generations} generations written in ${(fillMs / 1000).toFixed(1)} s`)
  const cursors = new Map<Filled, string>()
  for (const one of filled) cursors.set(one, await cursorAfter(one, CURSORS))

  const claimed: Record<string, (one: Filled) => string> = {
    'first page': () => page(),
    [`page after ${CURSORS} cursors`]: (one) => page(`&cursor=${cursors.get(one)}`),
    'first page of a rare, old status': () => page('&status=canceled'),
    'month of usage by day': () => month('day'),
    'month of usage by key': () => month('key'),
    'month of usage by model': () => month('model'),
  }
  const searches: Record<string, () => string> = {
    '`q` of two words that many prompts have': () => page('&q=red+BANANA'),
    '`q` of a word that none has': () => page('&q=zanzibar'),
  }
  let kept = true
  for (const [name, pathOf] of Object.entries(claimed))
    kept = report(name, await measure(filled, pathOf, ROUNDS)) && kept
  for (const [name, pathOf] of Object.entries(searches))
    report(name, await measure(filled, pathOf, SEARCH_ROUNDS))
  return kept
}

const [server] = process.argv.slice(2)
if (server === undefined) {
  print('usage: node --conditions=source bench/history.ts postgres://…')
  process.exitCode = 2
} else if (!(await run(server))) {
  process.exitCode = 1
}
