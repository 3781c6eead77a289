/** As the API writes amounts: millionths of the currency's unit. */
export interface Price {
  readonly currency: string
  readonly microUnits: string
}
