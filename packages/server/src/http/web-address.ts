/** Whether a text names a place on the web, from which no image is fetched. */
export const isWebAddress = (text: string): boolean => /^\s*(https?:|\/\/)/i.test(text)
