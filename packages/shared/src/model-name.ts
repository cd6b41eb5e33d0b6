import type { z } from 'zod'
import { MODEL_TABLE } from './model-table.ts'
import { text } from './text.ts'

type Row = (typeof MODEL_TABLE)[number]
/** Id or alias of a built-in model; any other text too, since an operator may add models. */
export type ModelName = Row['id'] | Row['aliases'][number] | (string & Record<never, never>)

export const ModelName = text()
  .min(1)
  .max(100)
  .meta({
    id: 'ModelName',
    description: 'Id or alias of a model; `GET /v1/models` has them all.',
    examples: MODEL_TABLE.map(({ id }) => id),
    // An open list: the generator of the SDK suggests these and takes any text.
    'x-extensible-enum': MODEL_TABLE.flatMap(({ id, aliases }) => [id, ...aliases]),
  }) as unknown as z.ZodType<ModelName, ModelName>
