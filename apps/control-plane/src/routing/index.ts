/** What gateways route by. Start at {@link RoutingFeed}. */
export { RoutingFeed, type RoutingFeedParts } from './routing-feed.ts'
export { type RoutingHandlerParts, routingHandlers } from './routing-handlers.ts'
