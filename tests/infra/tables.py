"""The tables that the queries read, with all their columns, after the Azure Monitor and Azure Resource Graph references."""

from __future__ import annotations

Columns = dict[str, str]


def columns(**names_of_type: str) -> Columns:
    return {name: kind for kind, names in names_of_type.items() for name in names.split()}


LOG = columns(
    datetime="TimeGenerated", real="_BilledSize", string="_IsBillable _ResourceId _SubscriptionId SourceSystem TenantId Type"
)
APP = LOG | columns(
    dynamic="Properties Measurements",
    int="ItemCount",
    string="""AppRoleInstance AppRoleName AppVersion ClientBrowser ClientCity ClientCountryOrRegion ClientIP ClientModel
    ClientOS ClientStateOrProvince ClientType IKey OperationId OperationName ParentId ResourceGUID SDKVersion SessionId
    SyntheticSource UserAccountId UserAuthenticatedId UserId""",
)
SPAN = columns(bool="Success", real="DurationMs", string="Id Name PerformanceBucket ResultCode")

TABLES: dict[str, Columns] = {
    "AppMetrics": {name: kind for name, kind in APP.items() if name != "Measurements"}
    | columns(string="Name", real="Max Min Sum"),
    "AppRequests": APP | SPAN | columns(string="Source Url"),
    "AppDependencies": APP | SPAN | columns(string="Data DependencyType Target"),
    "AppAvailabilityResults": APP
    | columns(bool="Success", real="DurationMs Size", string="Id Location Message Name PerformanceBucket"),
    "AppTraces": APP | columns(int="SeverityLevel", string="Message ReferencedItemId ReferencedType"),
    "AppExceptions": APP
    | columns(
        dynamic="Details",
        int="SeverityLevel",
        string="""Assembly ExceptionType HandledAt InnermostAssembly InnermostMessage InnermostMethod InnermostType Message
        Method OuterAssembly OuterMessage OuterMethod OuterType ProblemId""",
    ),
    "CDBDataPlaneRequests": LOG
    | columns(
        int="StatusCode",
        real="DurationMs RequestCharge RequestLength ResponseLength",
        string="""AadAppliedRoleAssignmentId AadPrincipalId AccountName ActivityId AuthTokenType ClientIpAddress CollectionName
        ConnectionMode DatabaseName KeyType OperationName PartitionId RegionName RequestResourceId RequestResourceType
        ResourceTokenPermissionId ResourceTokenPermissionMode ResourceTokenUserRid UserAgent""",
    ),
    "resources": columns(
        dynamic="extendedLocation identity plan properties sku tags zones",
        string="id kind location managedBy name resourceGroup subscriptionId tenantId type",
    ),
}
