import type { Notification } from '../db/notify.ts'

export type Message =
  | Notification
  /** Some notifications may have been missed: look again wherever one is waited for. */
  | { readonly topic: 'gap' }

export type Listener = (message: Message) => void

/**
 * Brings to this process what any process, this one included, notified in a transaction (`db/notify`)
 * that has been committed. One may be lost with a connection, which a gap tells of; who waits looks now
 * and then by itself.
 */
export interface Notifier {
  /** Calls back with the messages of a topic, and of every gap; answers how to stop that. */
  subscribe(to: 'queue' | 'generations', onMessage: Listener): () => void
  /** The same for those of one generation. */
  follow(generationId: string, onMessage: Listener): () => void
  close(): Promise<void>
}
