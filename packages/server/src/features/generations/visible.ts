import type { Principal } from '../../kernel/principal.ts'
import type { Visible } from './generations.repo.ts'

/** A key sees the account's generations of its own mode, a session those of both. */
export const visibleTo = (principal: Principal): Visible => ({
  userId: principal.userId,
  mode: principal.kind === 'key' ? principal.mode : undefined,
})
