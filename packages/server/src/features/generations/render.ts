import type { Generation } from '@nanobanana/shared'
import type { Deps } from '../../kernel/deps.ts'
import { idOf } from '../../kernel/ids.ts'
import { usdOf } from '../../kernel/money.ts'
import * as images from '../images/images.service.ts'
import type { GenerationRow } from './generations.repo.ts'

type ImageRows = Awaited<ReturnType<typeof images.listByGeneration>>

/** A generation as callers see it, with addresses that are good from now on. */
export async function render(
  deps: Pick<Deps, 'objectStore' | 'settings'>,
  row: GenerationRow,
  imageRows: ImageRows,
  inline: images.InlineDelivery,
): Promise<Generation> {
  const rendered = await Promise.all(imageRows.map((image) => images.render(deps, image, inline)))
  return {
    id: idOf('gen', row.id),
    object: 'generation',
    status: row.status,
    url: rendered[0]?.url ?? null,
    prompt: row.prompt,
    created_at: row.created_at.toISOString(),
    completed_at: row.completed_at?.toISOString() ?? null,
    model: row.model,
    mode: row.mode,
    parent_id: row.parent_id === null ? null : idOf('gen', row.parent_id),
    images: rendered,
    text: row.text,
    requested: {
      aspect_ratio: row.aspect_ratio,
      size: row.size,
      n: row.n,
      input_images: row.input_images,
      output_format: row.output_format,
      output_quality: row.output_quality,
      seed: row.seed,
      thinking_level: row.thinking_level,
    },
    warnings: row.warnings,
    usage: {
      input_tokens: row.input_tokens,
      output_tokens: row.output_tokens,
      images: rendered.length,
      cost_usd: usdOf(row.cost_micros),
    },
    error: row.error,
    metadata: row.metadata,
    user: row.end_user,
  }
}
