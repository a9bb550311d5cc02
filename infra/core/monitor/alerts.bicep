// Alert rules. Each query stands in infra/queries/alerts and gives one number, Value, which is held against a threshold.

param location string
param tags object
param environmentName string
param logAnalyticsWorkspaceId string
param cosmosAccountId string
param alertEmail string

@description('Percent of requests. Retries hide a few; one in twenty is seen by users.')
param serverErrorsPercent int = 5

@description('Percent of turns. Higher than for requests: a model that is overloaded for a minute is nothing to wake up for.')
param failedTurnsPercent int = 10

@description('Seconds. Half of the deadline of a turn (TURN_TIMEOUT_SECONDS, 120): from there on turns soon fail.')
param turnP95Seconds int = 60

@description('Turns in 15 minutes that failed because the model was over its limit. A few pass by themselves.')
param throttledTurns int = 5

@description('Requests in 15 minutes. Cosmos DB expects clients to run into 429 now and then; the app waits and tries again.')
param throttledStoreRequests int = 50

@description('Request units in an hour. A turn takes about 40: so many are 25,000 turns, more than was planned for.')
param requestUnitsPerHour int = 1000000

@description('Turns in the 90 minutes before half an hour without any. Below so many, a pause is nothing unusual.')
param busyTurns int = 30

@description('Turns in 15 minutes. A deployment or a scale-in may cut off a few; more are crashes.')
param interruptedTurns int = 3

@description('Calls of tools that act whose outcome is not known, in 15 minutes.')
param unknownCalls int = 0

@description('Probes in 15 minutes that failed. One may meet an instance that is just starting.')
param notReadyProbes int = 2

@description('Tries in an hour that one erasure has failed. It tries again at least every 30 seconds: so many are ten minutes.')
param erasureTries int = 20

@description('Activities of the bot in 15 minutes that were given up. Each is somebody who waits for an answer.')
param lostAnswers int = 0

var rules = [
  {
    name: 'server-errors'
    title: 'Server errors'
    severity: 1
    window: 'PT15M'
    query: loadTextContent('../../queries/alerts/server_errors.kql')
    threshold: serverErrorsPercent
    todo: 'More than ${serverErrorsPercent} % of requests fail on our side. Workbook, tab Errors: which problem, which logger.'
  }
  {
    name: 'failed-turns'
    title: 'Failed turns'
    severity: 1
    window: 'PT15M'
    query: loadTextContent('../../queries/alerts/failed_turns.kql')
    threshold: failedTurnsPercent
    todo: 'More than ${failedTurnsPercent} % of turns fail. Workbook, tab Errors: model, store or tools by the problem type.'
  }
  {
    name: 'slow-turns'
    title: 'Slow turns'
    severity: 2
    window: 'PT30M'
    query: loadTextContent('../../queries/alerts/slow_turns.kql')
    threshold: turnP95Seconds
    todo: 'One turn in twenty takes more than ${turnP95Seconds} s. Workbook, tab Turns: is it the model, a tool or the store?'
  }
  {
    name: 'model-throttled'
    title: 'Model throttled'
    severity: 2
    window: 'PT15M'
    query: loadTextContent('../../queries/alerts/model_throttling.kql')
    threshold: throttledTurns
    todo: 'The model is over its rate limit. Raise the capacity of its deployment, or lower the limits of the dearest owners.'
  }
  {
    name: 'store-throttled'
    title: 'Store throttled'
    severity: 2
    window: 'PT15M'
    query: loadTextContent('../../queries/alerts/store_throttling.kql')
    threshold: throttledStoreRequests
    todo: 'Cosmos DB refuses requests. Workbook, tab Store: one busy thread, or more than the account can take?'
  }
  {
    name: 'no-turns'
    title: 'No turns'
    severity: 1
    window: 'PT2H'
    query: loadTextContent('../../queries/alerts/no_turns.kql')
    threshold: busyTurns
    todo: 'There was traffic, and for half an hour there is none. Ask GET /api/ready; is anything let in, is telemetry arriving?'
  }
  {
    name: 'interrupted-turns'
    title: 'Interrupted turns'
    severity: 2
    window: 'PT15M'
    query: loadTextContent('../../queries/alerts/interrupted_turns.kql')
    threshold: interruptedTurns
    todo: 'Turns are cut off. Workbook, tabs Turns and Limits: do instances restart, or does the store not answer in time?'
  }
  {
    name: 'unknown-calls'
    title: 'Tool calls of unknown outcome'
    severity: 2
    window: 'PT15M'
    query: loadTextContent('../../queries/alerts/unknown_calls.kql')
    threshold: unknownCalls
    todo: 'A tool that acts was started, and its outcome is not known: look at the service that it calls. Workbook, tab Tools: which one.'
  }
  {
    name: 'not-ready'
    title: 'Not ready'
    severity: 1
    window: 'PT15M'
    query: loadTextContent('../../queries/alerts/not_ready.kql')
    threshold: notReadyProbes
    todo: 'GET /api/ready answers with an error, and its body names the failing part.'
  }
  {
    name: 'stuck-erasures'
    title: 'Stuck erasures'
    severity: 2
    window: 'PT1H'
    query: loadTextContent('../../queries/alerts/stuck_erasures.kql')
    threshold: erasureTries
    todo: 'An erasure that a user has asked for does not end. Workbook, tab Users: the log says what it fails at.'
  }
  {
    name: 'lost-answers'
    title: 'Lost answers'
    severity: 2
    window: 'PT15M'
    query: loadTextContent('../../queries/alerts/lost_answers.kql')
    threshold: lostAnswers
    todo: 'The bot has given up answering somebody. Workbook, tab Users, Deliveries: the log names the request and the reason.'
  }
]

resource actionGroup 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: 'on-call-${environmentName}'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'on-call'
    enabled: true
    emailReceivers: [
      {
        name: 'on-call'
        emailAddress: alertEmail
        useCommonAlertSchema: true
      }
    ]
  }
}

resource queryRules 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for rule in rules: {
    name: '${rule.name}-${environmentName}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: 'Chat API ${environmentName}: ${rule.title}'
      description: '${rule.todo} More in docs/operations.md#${rule.name}'
      enabled: true
      severity: rule.severity
      scopes: [
        logAnalyticsWorkspaceId
      ]
      evaluationFrequency: 'PT5M'
      windowSize: rule.window
      criteria: {
        allOf: [
          {
            query: rule.query
            metricMeasureColumn: 'Value'
            timeAggregation: 'Maximum'
            operator: 'GreaterThan'
            threshold: rule.threshold
            failingPeriods: {
              numberOfEvaluationPeriods: 1
              minFailingPeriodsToAlert: 1
            }
          }
        ]
      }
      autoMitigate: true
      // A new workspace learns some of the tables with their first rows; the tests check the queries.
      skipQueryValidation: true
      actions: {
        actionGroups: [
          actionGroup.id
        ]
      }
    }
  }
]

// From the account's own metric: it counts every client, and is there also when the app cannot report.
resource requestUnits 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: 'request-units-${environmentName}'
  location: 'global'
  tags: tags
  properties: {
    description: 'The store took more than ${requestUnitsPerHour} request units in an hour. Workbook, tab Store: which operation, how many a turn. More in docs/operations.md#request-units'
    enabled: true
    severity: 2
    scopes: [
      cosmosAccountId
    ]
    evaluationFrequency: 'PT15M'
    windowSize: 'PT1H'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'request-units'
          metricNamespace: 'Microsoft.DocumentDB/databaseAccounts'
          metricName: 'TotalRequestUnits'
          timeAggregation: 'Total'
          operator: 'GreaterThan'
          threshold: requestUnitsPerHour
        }
      ]
    }
    autoMitigate: true
    actions: [
      {
        actionGroupId: actionGroup.id
      }
    ]
  }
}
