import type { Generation, ListGenerationsInput } from '@nanobanana/shared'
import type { Tx } from '../../db/client.ts'
import { AppError } from '../../kernel/app-error.ts'
import type { Deps } from '../../kernel/deps.ts'
import { idOf, parseId, uuidOf } from '../../kernel/ids.ts'
import { modeOf, type Principal } from '../../kernel/principal.ts'
import * as images from '../images/images.service.ts'
import {
  deleteGenerationsOfUser,
  failAbandoned,
  findGeneration,
  type GenerationRow,
  listGenerations,
} from './generations.repo.ts'
import { render } from './render.ts'
import { visibleTo } from './visible.ts'

type ReadDeps = Pick<Deps, 'db' | 'objectStore' | 'settings'>

export async function get(deps: ReadDeps, principal: Principal, id: string): Promise<Generation> {
  const row = await findGeneration(deps.db, visibleTo(principal), uuidOf(id))
  if (row === undefined) throw new AppError('not_found')
  const rows = await images.listByGeneration(deps.db, principal.userId, [row.id])
  return render(deps, row, rows, 'data-url')
}

export async function list(
  deps: ReadDeps & Pick<Deps, 'catalogue'>,
  principal: Principal,
  input: ListGenerationsInput,
): Promise<{ data: Generation[]; next_cursor: string | null }> {
  const visible = { userId: principal.userId, mode: modeOf(principal, input.mode) }
  const rows = await listGenerations(deps.db, visible, {
    limit: input.limit + 1,
    before: cursorOf(input.cursor),
    status: input.status,
    model:
      input.model === undefined ? undefined : (deps.catalogue.find(input.model)?.id ?? input.model),
    keyId: input.key_id === undefined ? undefined : uuidOf(input.key_id),
  })
  const shown = rows.slice(0, input.limit)
  const last = shown.at(-1)
  return {
    data: await renderAll(deps, principal, shown),
    next_cursor: rows.length > shown.length && last !== undefined ? idOf('gen', last.id) : null,
  }
}

/**
 * Fails generations whose process died. `all`: no other process can be running one, as on an
 * embedded database that was just opened.
 */
export async function recoverAbandoned(
  deps: Pick<Deps, 'db'>,
  options: { all: boolean },
): Promise<number> {
  const { row, code, message } = new AppError(
    'unavailable',
    'The service was stopped while it ran; nothing was charged.',
  )
  return (await failAbandoned(deps.db, { type: row.type, code, message }, options)).length
}

/** Removes an account's generations with their images' rows; the objects stay to be deleted. */
export const deleteAllOf = (tx: Tx, userId: string): Promise<void> =>
  deleteGenerationsOfUser(tx, userId)

function cursorOf(cursor: string | undefined): string | undefined {
  if (cursor === undefined) return undefined
  const id = parseId('gen', cursor)
  if (id !== undefined) return id
  throw new AppError('invalid_input', 'cursor: is not one of ours.', { param: 'cursor' })
}

async function renderAll(
  deps: ReadDeps,
  principal: Principal,
  rows: readonly GenerationRow[],
): Promise<Generation[]> {
  const imageRows = await images.listByGeneration(
    deps.db,
    principal.userId,
    rows.map((row) => row.id),
  )
  return Promise.all(
    rows.map((row) =>
      render(
        deps,
        row,
        imageRows.filter((image) => image.generation_id === row.id),
        'address',
      ),
    ),
  )
}
