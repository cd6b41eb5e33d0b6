import type { AnswerBody } from '../answer.ts'
import type { Call } from '../call.ts'
import type { GoogleErrorBody } from '../google-error.ts'
import type { JsonReply, Reply } from '../reply.ts'
import type { ScenarioSettings } from '../scenario-settings.ts'

export interface ScenarioDefinition {
  /** One sentence for the table of scenarios. */
  summary: string
  /** Settings used unless the script says otherwise. */
  defaults?: ScenarioSettings
  reply: (call: Call) => Reply | Promise<Reply>
}

/** Keeps the names of a group as literal types. */
export function defineScenarios<Name extends string>(
  scenarios: Record<Name, ScenarioDefinition>,
): Readonly<Record<Name, ScenarioDefinition>> {
  return scenarios
}

export function ok(body: AnswerBody, more: Partial<JsonReply> = {}): JsonReply {
  return { kind: 'json', status: 200, body, ...more }
}

export function failure(body: GoogleErrorBody): JsonReply {
  return { kind: 'json', status: body.error.code, body }
}
