import { CompiledQuery, type KyselyPlugin, type QueryId, type RootOperationNode } from 'kysely'
import { type Db, transaction, type Tx } from '../src/db/client.ts'

/** What a statement read, as the database counts it. */
export interface Reading {
  readonly statement: string
  /** Rows of tables and indexes, those that a filter threw away among them. */
  readonly rows: number
  /** Blocks of 8 kB; of an index that is read past what is wanted they alone tell. */
  readonly blocks: number
  /** Tables read from end to end. */
  readonly wholeTables: readonly string[]
}

/** Runs `work` and explains each of its statements, with its parameters; nothing of it is kept. */
export async function explain(db: Db, work: (tx: Tx) => Promise<unknown>): Promise<Reading[]> {
  const nodes: { node: RootOperationNode; queryId: QueryId }[] = []
  const recorder: KyselyPlugin = {
    transformQuery({ node, queryId }) {
      nodes.push({ node, queryId })
      return node
    },
    transformResult: async ({ result }) => result,
  }
  await rolledBack(db, (tx) => work(tx.withPlugin(recorder) as Tx))
  const statements = nodes.map(({ node, queryId }) => db.getExecutor().compileQuery(node, queryId))
  const readings: Reading[] = []
  await rolledBack(db, async (tx) => {
    for (const statement of statements) readings.push(await readingOf(tx, statement))
  })
  return readings
}

class Rollback extends Error {}

async function rolledBack(db: Db, work: (tx: Tx) => Promise<unknown>): Promise<void> {
  await transaction(db, async (tx) => {
    await work(tx)
    throw new Rollback()
  }).catch((error: unknown) => {
    if (!(error instanceof Rollback)) throw error
  })
}

interface Plan {
  readonly 'Node Type': string
  readonly 'Relation Name'?: string
  readonly 'Actual Rows': number
  readonly 'Actual Loops': number
  readonly 'Rows Removed by Filter'?: number
  readonly 'Rows Removed by Index Recheck'?: number
  readonly 'Shared Hit Blocks': number
  readonly 'Shared Read Blocks': number
  readonly Plans?: readonly Plan[]
}

async function readingOf(tx: Tx, { sql, parameters }: CompiledQuery): Promise<Reading> {
  const options = 'analyze, buffers, costs off, timing off, summary off, format json'
  const { rows } = await tx.executeQuery<{ 'QUERY PLAN': [{ Plan: Plan }] }>(
    CompiledQuery.raw(`explain (${options}) ${sql}`, [...parameters]),
  )
  const plan = rows[0]!['QUERY PLAN'][0].Plan
  const scans = nodesOf(plan).filter((node) => node['Node Type'].endsWith('Scan'))
  return {
    statement: sql,
    rows: scans.reduce((sum, scan) => sum + rowsOf(scan), 0),
    blocks: plan['Shared Hit Blocks'] + plan['Shared Read Blocks'],
    wholeTables: scans
      .filter((scan) => scan['Node Type'] === 'Seq Scan')
      .map((scan) => scan['Relation Name'] ?? ''),
  }
}

const nodesOf = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(nodesOf)]

const rowsOf = (scan: Plan): number =>
  (scan['Actual Rows'] +
    (scan['Rows Removed by Filter'] ?? 0) +
    (scan['Rows Removed by Index Recheck'] ?? 0)) *
  scan['Actual Loops']
