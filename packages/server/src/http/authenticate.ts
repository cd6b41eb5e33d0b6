import type { FastifyRequest } from 'fastify'
import * as auth from '../features/auth/auth.service.ts'
import { hasKeyForm } from '../features/keys/key-secret.ts'
import * as keys from '../features/keys/keys.service.ts'
import { AppError } from '../kernel/app-error.ts'
import type { Deps } from '../kernel/deps.ts'
import type { Principal } from '../kernel/principal.ts'
import { chargeBadCredential, chargePrincipal } from './charge.ts'
import { countAccount } from './overload.ts'
import { queryOf } from './query.ts'

const BEARER = /^bearer ([^\s,]+)$/i
const KEY_START = /^nb_/

const known = new WeakMap<FastifyRequest, Promise<Principal>>()

/** Who sent the request; one indexed read, counted once, whoever asks and however often. */
export function authenticate(deps: Deps, request: FastifyRequest): Promise<Principal> {
  const principal = known.get(request) ?? readPrincipal(deps, request)
  known.set(request, principal)
  return principal
}

async function readPrincipal(deps: Deps, request: FastifyRequest): Promise<Principal> {
  const credential = credentialOf(request)
  const isKey = KEY_START.test(credential)
  const principal = isKey
    ? await keys.authenticate(deps, credential)
    : await auth.authenticate(deps, credential)
  // Counted after the look-up, not refused before it: others behind the same address go on.
  if (principal === undefined) {
    await chargeBadCredential(deps, request)
    // Of who is answered 429 nothing more is read or written.
    if (isKey) keys.noteRefusal(deps, credential)
    throw new AppError(isKey ? 'invalid_api_key' : 'invalid_token')
  }
  countAccount(request, deps, principal.userId)
  await chargePrincipal(deps, request, principal)
  return principal
}

function credentialOf(request: FastifyRequest): string {
  const values = authorizationValues(request)
  if (new Set(values).size > 1) {
    throw new AppError('invalid_input', 'The request carries two different credentials.')
  }
  const [value] = values
  if (value === undefined) throw missing(request)
  const credential = BEARER.exec(value)?.[1]
  if (credential === undefined) throw new AppError('invalid_token')
  return credential
}

/** Node keeps the first of two Authorization headers silently; the raw list has both. */
function authorizationValues(request: FastifyRequest): string[] {
  const { rawHeaders } = request.raw
  return rawHeaders.filter(
    (_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === 'authorization',
  )
}

/** Says so when a credential stands in the URL, where proxies and logs keep it. */
function missing(request: FastifyRequest): AppError {
  const values = [...new URLSearchParams(queryOf(request.url)).values()]
  if (!values.some((value) => hasKeyForm(value) || JWT_FORM.test(value))) {
    return new AppError('invalid_token')
  }
  return new AppError('invalid_token', 'Credentials in the URL are not taken; send a header.', {
    headers: { warning: '299 - "a credential in a URL is logged by proxies: replace it"' },
  })
}

const JWT_FORM = /^eyJ[\w-]+\.[\w-]+\.[\w-]+$/
