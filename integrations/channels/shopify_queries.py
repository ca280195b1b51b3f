"""The GraphQL documents sent to Shopify, Admin API 2026-10. Operations are named after their root field."""

from __future__ import annotations

#: Orders a page, lines an order and fulfilment orders an order that are asked for at first: well below the
#: 1,000 points that one query may cost. What does not fit is asked for separately.
ORDERS_A_PAGE = 10
LINES_AT_FIRST = 10
LINES_A_PAGE = 50
IDS_A_PAGE = 250

_LINE = """
fragment LineParts on LineItem {
  id sku title quantity currentQuantity
  customAttributes { key value }
  originalUnitPriceSet { shopMoney { amount } }
  originalTotalSet { shopMoney { amount } }
  discountAllocations { allocatedAmountSet { shopMoney { amount } } }
  variant { id }
}"""

_FULFILLMENT_ORDER = """
fragment FulfillmentOrderParts on FulfillmentOrder {
  id status
  assignedLocation { location { id } }
  lineItems(first: $lines) {
    nodes { id remainingQuantity totalQuantity lineItem { id } }
    pageInfo { hasNextPage endCursor }
  }
}"""

_ORDER = (
    """
fragment OrderParts on Order {
  id legacyResourceId name createdAt updatedAt processedAt cancelledAt
  displayFinancialStatus displayFulfillmentStatus note
  customer { id }
  customAttributes { key value }
  totalPriceSet { shopMoney { amount currencyCode } }
  totalReceivedSet { shopMoney { amount } }
  totalShippingPriceSet { shopMoney { amount } }
  totalDiscountsSet { shopMoney { amount } }
  totalRefundedSet { shopMoney { amount } }
  transactions(first: 10) { id kind status processedAt gateway paymentId amountSet { shopMoney { amount } } }
  shippingAddress { name phone province city address1 address2 zip countryCodeV2 }
  lineItems(first: $lines) { nodes { ...LineParts } pageInfo { hasNextPage endCursor } }
  fulfillmentOrders(first: 3) { nodes { ...FulfillmentOrderParts } pageInfo { hasNextPage endCursor } }
}"""
    + _LINE
    + _FULFILLMENT_ORDER
)

ORDERS = (
    """
query orders($first: Int!, $after: String, $query: String!, $lines: Int!) {
  orders(first: $first, after: $after, query: $query, sortKey: UPDATED_AT) {
    nodes { ...OrderParts }
    pageInfo { hasNextPage endCursor }
  }
}"""
    + _ORDER
)

ORDERS_COUNT = """
query ordersCount($query: String!) {
  ordersCount(query: $query, limit: null) { count precision }
}"""

ORDER_IDS = """
query orderIds($first: Int!, $after: String, $query: String!) {
  orders(first: $first, after: $after, query: $query, sortKey: UPDATED_AT, reverse: true) {
    nodes { id }
    pageInfo { hasNextPage endCursor }
  }
}"""

ORDER = (
    """
query order($id: ID!, $lines: Int!) {
  order(id: $id) { ...OrderParts }
}"""
    + _ORDER
)

LINE_ITEMS = (
    """
query lineItems($id: ID!, $first: Int!, $after: String) {
  order(id: $id) {
    lineItems(first: $first, after: $after) { nodes { ...LineParts } pageInfo { hasNextPage endCursor } }
  }
}"""
    + _LINE
)

FULFILLMENT_ORDERS = (
    """
query fulfillmentOrders($id: ID!, $first: Int!, $after: String, $lines: Int!) {
  order(id: $id) {
    fulfillmentOrders(first: $first, after: $after) {
      nodes { ...FulfillmentOrderParts }
      pageInfo { hasNextPage endCursor }
    }
  }
}"""
    + _FULFILLMENT_ORDER
)

FULFILLMENT_ORDER_LINES = """
query fulfillmentOrderLines($id: ID!, $first: Int!, $after: String) {
  fulfillmentOrder(id: $id) {
    lineItems(first: $first, after: $after) {
      nodes { id remainingQuantity totalQuantity lineItem { id } }
      pageInfo { hasNextPage endCursor }
    }
  }
}"""

SHIPPING_ADDRESS = """
query shippingAddress($id: ID!) {
  order(id: $id) {
    id
    shippingAddress { name phone province city address1 address2 zip countryCodeV2 }
  }
}"""

FULFILLMENTS = """
query fulfillments($id: ID!, $lines: Int!) {
  fulfillmentOrder(id: $id) {
    id status
    lineItems(first: $lines) { nodes { id remainingQuantity } }
    order { id fulfillments(first: 50) { id status trackingInfo(first: 10) { company number url } } }
  }
}"""

FULFILLMENT_CREATE = """
mutation fulfillmentCreate($fulfillment: FulfillmentInput!) {
  fulfillmentCreate(fulfillment: $fulfillment) {
    fulfillment { id status trackingInfo(first: 10) { company number url } }
    userErrors { field message }
  }
}"""

_REFUND = """
fragment RefundParts on Refund {
  id note
  totalRefundedSet { shopMoney { amount } }
  transactions(first: 10) { nodes { id kind status } }
}"""

REFUND_CREATE = (
    """
mutation refundCreate($input: RefundInput!, $key: String!) {
  refundCreate(input: $input) @idempotent(key: $key) {
    refund { ...RefundParts }
    userErrors { field message }
  }
}"""
    + _REFUND
)

REFUNDS = (
    """
query refunds($id: ID!, $first: Int!) {
  order(id: $id) {
    id
    refunds(first: $first) { ...RefundParts }
  }
}"""
    + _REFUND
)

_COUPON = """
fragment CouponParts on DiscountCodeNode {
  id
  codeDiscount {
    ... on DiscountCodeBasic {
      title status startsAt endsAt usageLimit
      codes(first: 1) { nodes { code } }
      customerGets { value { ... on DiscountAmount { amount { amount currencyCode } } } }
    }
  }
}"""

COUPON_CREATE = (
    """
mutation discountCodeBasicCreate($coupon: DiscountCodeBasicInput!) {
  discountCodeBasicCreate(basicCodeDiscount: $coupon) {
    codeDiscountNode { ...CouponParts }
    userErrors { field message code }
  }
}"""
    + _COUPON
)

COUPON_BY_CODE = (
    """
query codeDiscountNodeByCode($code: String!) {
  codeDiscountNodeByCode(code: $code) { ...CouponParts }
}"""
    + _COUPON
)

INSTALLATION = """
query currentAppInstallation {
  currentAppInstallation { accessScopes { handle } }
}"""

SUBSCRIPTIONS = """
query webhookSubscriptions($first: Int!, $after: String) {
  webhookSubscriptions(first: $first, after: $after) {
    nodes { id topic uri }
    pageInfo { hasNextPage endCursor }
  }
}"""

SUBSCRIPTION_CREATE = """
mutation webhookSubscriptionCreate($topic: WebhookSubscriptionTopic!, $subscription: WebhookSubscriptionInput!) {
  webhookSubscriptionCreate(topic: $topic, webhookSubscription: $subscription) {
    webhookSubscription { id topic uri }
    userErrors { field message }
  }
}"""
