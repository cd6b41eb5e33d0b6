import type { Config } from '../config.ts'
import * as keys from '../features/keys/keys.service.ts'
import { loadSecrets } from '../kernel/secrets.ts'
import { withDatabase } from './operator.ts'
import type { Io } from './io.ts'

/** Revokes the keys for whose sake a start is refused after a secret was lost. */
export async function keysCommand(config: Config, io: Io): Promise<number> {
  const count = await withDatabase(config, async ({ db }) =>
    keys.revokeUnreadable({ db, secrets: await loadSecrets(config) }),
  )
  io.print(`Revoked ${count} API ${count === 1 ? 'key' : 'keys'}.`)
  return 0
}
