import { Webhook } from 'standardwebhooks'
import { type Received, createReceiver, type Receiver } from '../webhook-receiver.ts'
import { createWebhook, type Person } from './accounts.ts'

/** One message as it came, under a signature that is right. */
export interface Message {
  readonly path: string
  readonly id: string
  readonly type: string
  readonly generationId: string
  /** Whether it was answered 2xx. */
  readonly isTaken: boolean
  readonly at: Date
}

/** Says what becomes of a message: the status to answer, or nothing, and then it never is. */
export type Mood = (path: string, id: string, earlier: number) => number | undefined

/** Endpoints of webhooks on one port, which believe no message before its signature. */
export interface Inbox extends AsyncDisposable {
  readonly messages: Message[]
  readonly faults: string[]
  mood: Mood
  /** Whether it looks at the pictures it is told of. */
  opensPictures: boolean
  /** What the pictures that an endpoint took word of answered at that moment. */
  opened(path: string): readonly Promise<number>[]
  /** Registers the endpoint of a path. */
  subscribe(person: Person, path: string, events: readonly string[]): Promise<void>
}

export async function openInbox(mood: Mood = () => 204): Promise<Inbox> {
  const receiver: Receiver = await createReceiver()
  const secrets = new Map<string, Webhook>()
  const messages: Message[] = []
  const faults: string[] = []
  const opened = new Map<string, Promise<number>[]>()
  receiver.answer = (response, received) => {
    const { path, headers, json } = received
    const id = headers['webhook-id'] ?? ''
    const why = refusalOf(secrets.get(path), received)
    if (why !== undefined) faults.push(`${path} ${id}: ${why}`)
    const earlier = messages.filter((one) => one.path === path && one.id === id).length
    const status = inbox.mood(path, id, earlier)
    const isTaken = status !== undefined && status < 300
    if (isTaken && inbox.opensPictures && json.data.url !== null) {
      opened.set(path, [...inbox.opened(path), statusOf(json.data.url)])
    }
    messages.push({
      path,
      id,
      type: json.type,
      generationId: json.data.id,
      isTaken,
      at: new Date(),
    })
    if (status !== undefined) response.writeHead(status).end()
  }
  const inbox: Inbox = {
    messages,
    faults,
    mood,
    opensPictures: false,
    opened: (path) => opened.get(path) ?? [],
    async subscribe(person, path, events) {
      const { secret } = await createWebhook(person, new URL(path, receiver.url).href, events)
      secrets.set(path, new Webhook(secret))
    },
    [Symbol.asyncDispose]: () => receiver[Symbol.asyncDispose](),
  }
  return inbox
}

function refusalOf(webhook: Webhook | undefined, { body, headers }: Received): string | undefined {
  if (webhook === undefined) return 'nobody subscribed'
  try {
    webhook.verify(body, headers)
    return undefined
  } catch (error) {
    return String(error)
  }
}

async function statusOf(url: string): Promise<number> {
  const response = await fetch(url)
  await response.arrayBuffer()
  return response.status
}
