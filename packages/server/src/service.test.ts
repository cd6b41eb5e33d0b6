import { createServer } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BootError } from './config.ts'
import { createTestApp, createTestDatabase, type TestDatabase } from '../test/harness.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

/** Why the port of a service cannot be opened. */
async function failureOf(env: Record<string, string>): Promise<unknown> {
  await using app = await createTestApp({ database: database.handle, env })
  return app.listen().then(
    () => undefined,
    (error: unknown) => error,
  )
}

test('a port in use ends the start with 78 and one line that names it and the way out', async () => {
  await using taken = createServer()
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
  const { port } = taken.address() as { port: number }
  const failure = await failureOf({ PORT: String(port) })
  expect(failure).toBeInstanceOf(BootError)
  const { message, exitCode } = failure as BootError
  expect(exitCode).toBe(78)
  expect(message).toMatch(new RegExp(`^PORT ${port} is in use on 127\\.0\\.0\\.1; .*PORT=\\d+$`))
})

test('another fault of the port stays what it is', async () => {
  const failure = await failureOf({ HOST: '192.0.2.1' })
  expect(failure).toMatchObject({ code: 'EADDRNOTAVAIL' })
})
