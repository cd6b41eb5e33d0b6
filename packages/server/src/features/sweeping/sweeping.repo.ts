import { sql } from 'kysely'
import type { Db } from '../../db/client.ts'

/** Takes a task that nobody has begun for so long; false when somebody has. */
export async function claimTask(db: Db, task: string, everySeconds: number): Promise<boolean> {
  const rows = await db
    .insertInto('sweeps')
    .values({ task, began_at: sql<Date>`now()` })
    .onConflict((conflict) =>
      conflict
        .column('task')
        .doUpdateSet({ began_at: sql<Date>`now()` })
        .where(
          // The second is the clock that was set back.
          sql<boolean>`sweeps.began_at <= now() - make_interval(secs => ${everySeconds}::int)
            or sweeps.began_at > now()`,
        ),
    )
    .returning('task')
    .execute()
  return rows.length > 0
}

/** Lets the next who asks begin the task. */
export async function releaseTask(db: Db, task: string): Promise<void> {
  await db.deleteFrom('sweeps').where('task', '=', task).execute()
}
