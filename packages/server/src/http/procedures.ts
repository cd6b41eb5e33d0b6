import type { AnyTRPCProcedure, AnyTRPCRouter } from '@trpc/server'
import { z } from 'zod'
import type { Meta, Policy } from '../kernel/procedures.ts'

/** A procedure of the router with what the entrances need to know of it. */
export interface ProcedureFacts {
  /** Dotted name, as in `keys.create`. */
  readonly name: string
  readonly type: 'query' | 'mutation'
  readonly policy: Policy
  /** Whether its requests may bring images, as JSON or as a form. */
  readonly takesUploads?: true
  /** Whether it answers a generation, whose events may be asked for in its place. */
  readonly tellsEvents?: true
  readonly input: z.ZodType
  readonly output: z.ZodType
  readonly rest?: {
    readonly method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'
    readonly path: string
    readonly status: 200 | 201 | 204
  }
}

/** Reads the router once. Throws for a procedure that does not say who may call it. */
export function listProcedures(router: AnyTRPCRouter): ProcedureFacts[] {
  const procedures = router._def.procedures as Record<string, AnyTRPCProcedure>
  return Object.entries(procedures).flatMap(([name, procedure]) => {
    const policy = policyOf(name, procedure)
    return procedure._def.type === 'subscription' ? [] : [factsOf(name, procedure, policy)]
  })
}

function policyOf(name: string, procedure: AnyTRPCProcedure): Policy {
  const { policy } = (procedure._def.meta ?? {}) as Meta
  if (policy === undefined) throw new Error(`${name} does not declare who may call it`)
  return policy
}

function factsOf(name: string, procedure: AnyTRPCProcedure, policy: Policy): ProcedureFacts {
  const { meta, type, inputs, output } = procedure._def as unknown as {
    meta: Meta
    type: 'query' | 'mutation'
    inputs: unknown[]
    output?: unknown
  }
  const [input, ...more] = inputs
  if (!(input instanceof z.ZodType) || more.length > 0) throw new Error(`${name} needs one input`)
  if (!(output instanceof z.ZodType)) throw new Error(`${name} declares no output`)
  const { openapi, status = 200, takesUploads, tellsEvents } = meta
  const flags = { ...(takesUploads && { takesUploads }), ...(tellsEvents && { tellsEvents }) }
  const facts = { name, type, policy, input, output, ...flags }
  return openapi === undefined
    ? facts
    : { ...facts, rest: { method: openapi.method, path: openapi.path, status } }
}
