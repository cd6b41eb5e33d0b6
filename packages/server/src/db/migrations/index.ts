import type { Migration } from 'kysely/migration'
import * as initial from './0001_initial.ts'
import * as doomedObjects from './0002_doomed_objects.ts'
import * as databaseIdentity from './0003_database_identity.ts'
import * as storedBytes from './0004_stored_bytes.ts'
import * as deliveries from './0005_deliveries.ts'
import * as webhooks from './0006_webhooks.ts'
import * as spool from './0007_spool.ts'

/** Forward only, in this order; a released migration is never changed. */
export const migrations: Record<string, Migration> = {
  '0001_initial': initial,
  '0002_doomed_objects': doomedObjects,
  '0003_database_identity': databaseIdentity,
  '0004_stored_bytes': storedBytes,
  '0005_deliveries': deliveries,
  '0006_webhooks': webhooks,
  '0007_spool': spool,
}
