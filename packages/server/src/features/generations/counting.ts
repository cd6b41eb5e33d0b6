import type { Deps } from '../../kernel/deps.ts'
import type { GenerationRow } from './generations.repo.ts'

type CountDeps = Pick<Deps, 'log' | 'metrics'>

/** Counts a generation whose end is committed; `upstreamMicros`: what its attempt cost us. */
export function countEnd(deps: CountDeps, row: GenerationRow, upstreamMicros: number): void {
  const { metrics } = deps
  const { model, mode, status } = row
  metrics.generations.inc({ model, mode, status, code: row.error?.code ?? '' })
  metrics.upstreamCost.inc({ model }, upstreamMicros)
  // A later attempt began some time after the row was made.
  if (row.attempt === 1 && row.completed_at !== null) {
    const ms = row.completed_at.getTime() - row.created_at.getTime()
    // `created_at` is rounded to milliseconds, perhaps up.
    metrics.generationSeconds.observe({ model, mode, status }, Math.max(0, ms) / 1000)
  }
  if (status === 'succeeded') countPrice(deps, row)
}

/** The actual price is charged all the same; an estimate that is often too low lets limits slip. */
function countPrice({ log, metrics }: CountDeps, row: GenerationRow): void {
  const { id: generation, model, mode, cost_micros, reserved_micros } = row
  metrics.tokens.inc({ model, mode, kind: 'input' }, row.input_tokens)
  metrics.tokens.inc({ model, mode, kind: 'output' }, row.output_tokens)
  metrics.charged.inc({ model }, cost_micros)
  if (cost_micros <= reserved_micros) return
  metrics.excesses.inc({ model })
  metrics.excessMicros.inc({ model }, cost_micros - reserved_micros)
  log.warn(
    { generation, reserved_micros, cost_micros },
    'a generation cost more than was set aside for it',
  )
}
