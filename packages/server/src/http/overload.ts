import { createHash } from 'node:crypto'
import { finished } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { runHolder } from '../features/generations/admission.ts'
import { AppError } from '../kernel/app-error.ts'
import { hostBucket } from '../kernel/client-address.ts'
import type { Deps } from '../kernel/deps.ts'
import { type Holder, Slots } from '../kernel/slots.ts'
import { deliveryOf } from './delivery.ts'
import { closeUnread } from './linger.ts'
import { announcedBytes } from './receive.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Undefined where the request is not counted: health, and paths that do not exist. */
    place: Place | undefined
  }
}

/** Where a request stands, until its answer is out and nothing works on it any more. */
interface Place {
  slots: Slots
  readonly waiting: Slots
  readonly holders: Holder[]
  isAnswered: boolean
  /** Whether its handler has ended; the client may be gone before. */
  isHandled: boolean
  hasLeft: boolean
}

/** How many requests one process has at once; tests lower them. */
export interface InFlight {
  /** Those that use processor or database: more of them would only wait longer for each other. */
  readonly working: number
  /** Those that wait for a generation, which cost a socket and a little memory. */
  readonly waiting: number
}

const IN_FLIGHT: InFlight = { working: 1024, waiting: 2048 }

/** An address gets more than an account: there may be many behind it. */
const SHARES = { address: 0.75, credential: 0.5, account: 0.5 } as const
type Share = keyof typeof SHARES

const WORDS: Readonly<Record<Share, string>> = {
  address: 'Too many requests from this address at the same time.',
  credential: 'Too many requests with this credential at the same time.',
  account: 'Too many requests of this account at the same time.',
}

const HEALTH = /^\/(healthz|readyz)$/
/** A body that is larger costs more to read to its end than a new connection. */
const SMALL_BODY_BYTES = 64 * 1024

/**
 * Bounds the requests in flight, before anything is read or asked for them. What one address or one
 * credential may have is bounded as well: with less than all of it nobody can keep out the others.
 */
export function addOverloadGate(
  app: FastifyInstance,
  deps: Pick<Deps, 'metrics' | 'slots' | 'crowding'>,
  bounds: Partial<InFlight> = {},
): void {
  const { metrics } = deps
  const limits = { ...IN_FLIGHT, ...bounds }
  const working = new Slots(limits.working)
  const waiting = new Slots(limits.waiting)
  metrics.watch('http_requests_in_flight', () => [
    { labels: { state: 'working' }, value: working.taken },
    { labels: { state: 'waiting' }, value: waiting.taken },
  ])
  app.decorateRequest('place', undefined)
  app.addHook('onRequest', (request, reply, done) => {
    if (request.is404 || HEALTH.test(request.routeOptions.url ?? '')) return done()
    const holders = [holderOf('address', hostBucket(request.ip)), ...credentialOf(request)]
    const refusal =
      refusalOf(working, holders) ??
      waitRefusal(waiting, request, holders) ??
      crowdRefusal(deps, request)
    if (refusal !== undefined) {
      metrics.overloads.inc({ share: refusal.share })
      if (isLarge(request)) closeUnread(request, reply)
      return done(refusal.error)
    }
    const place: Place = {
      slots: working,
      waiting,
      holders,
      isAnswered: false,
      isHandled: false,
      hasLeft: false,
    }
    request.place = place
    working.take(holders)
    finished(reply.raw, () => {
      place.isAnswered = true
      // What was taken out of Fastify's hands is over with its connection.
      place.isHandled ||= reply.sent
      leaveWhenOver(place)
    })
    return done()
  })
  app.addHook('onSend', ({ place }, _reply, payload, done) => {
    if (place !== undefined) {
      place.isHandled = true
      leaveWhenOver(place)
    }
    done(null, payload)
  })
}

function leaveWhenOver(place: Place): void {
  if (!place.isAnswered || !place.isHandled || place.hasLeft) return
  place.hasLeft = true
  place.slots.give(place.holders)
}

/** Counts a request with its account too, once that is known; an account may have many credentials. */
export function countAccount(
  request: FastifyRequest,
  { metrics, crowding }: Pick<Deps, 'metrics' | 'crowding'>,
  userId: string,
): void {
  const { place } = request
  if (place === undefined) return
  const { authorization } = request.headers
  if (authorization !== undefined) crowding.know(digestOf(authorization), userId)
  const account = holderOf('account', userId)
  const { slots, waiting } = place
  if (slots.isUsedUp(account) || (mayWait(request) && waiting.isUsedUp(account))) {
    metrics.overloads.inc({ share: 'account' })
    throw tooMany('account')
  }
  place.holders.push(account)
  slots.hold(account)
}

/** From now on it only waits, so others may be at work. Never refused: what it waits for has begun. */
export function startWaiting({ place }: FastifyRequest): void {
  if (place === undefined || place.slots === place.waiting) return
  place.slots.give(place.holders)
  place.slots = place.waiting
  place.slots.take(place.holders)
}

interface Refusal {
  readonly share: Share | 'all' | 'queue'
  readonly error: AppError
}

function refusalOf(slots: Slots, holders: readonly Holder[]): Refusal | undefined {
  const usedUp = holders.find((holder) => slots.isUsedUp(holder))
  // Before the whole: who has a share of it is told so, also where others took the rest.
  if (usedUp !== undefined)
    return { share: usedUp.kind as Share, error: tooMany(usedUp.kind as Share) }
  if (!slots.isFull) return undefined
  return { share: 'all', error: new AppError('overloaded', undefined, { retryAfterSeconds: 1 }) }
}

const tooMany = (share: Share): AppError =>
  new AppError('rate_limited', WORDS[share], { retryAfterSeconds: 1 })

/** A request that may come to wait is refused while too many do. */
const waitRefusal = (
  waiting: Slots,
  request: FastifyRequest,
  holders: readonly Holder[],
): Refusal | undefined => (mayWait(request) ? refusalOf(waiting, holders) : undefined)

/**
 * A generation of an account that was refused a place this very moment, and for which none has come
 * free here, is refused again as cheaply as that can be done.
 */
function crowdRefusal(
  { slots, crowding }: Pick<Deps, 'slots' | 'crowding'>,
  request: FastifyRequest,
): Refusal | undefined {
  const { authorization } = request.headers
  if (authorization === undefined || !takesPlace(request)) return undefined
  const crowd = crowding.find(digestOf(authorization))
  if (crowd === undefined) return undefined
  const isQueued = deliveryOf(request).kind === 'async'
  if (!isQueued && slots.hasRoomFor(runHolder(crowd.userId))) return undefined
  return { share: 'queue', error: crowd.make() }
}

const digestOf = (credential: string): string =>
  createHash('sha256').update(credential).digest('base64')

const takesPlace = (request: FastifyRequest): boolean =>
  request.routeOptions.config.takesUploads?.(request) === true

const mayWait = (request: FastifyRequest): boolean =>
  takesPlace(request) || request.headers.accept?.includes('text/event-stream') === true

const holderOf = (kind: Share, name: string): Holder => ({ kind, name, share: SHARES[kind] })

/** As it was sent: to look it up is what an overloaded service cannot afford. */
const credentialOf = ({ headers }: FastifyRequest): Holder[] =>
  headers.authorization === undefined ? [] : [holderOf('credential', headers.authorization)]

function isLarge(request: FastifyRequest): boolean {
  if (request.headers['transfer-encoding'] !== undefined) return true
  return (announcedBytes(request) ?? 0) > SMALL_BODY_BYTES
}
