"""What the network service refuses: Neutron's exceptions, by their names, with their words and statuses.

Clients go by the name, which is `type` in the document of an error (`api.failures`). Source: neutron-lib's exceptions.
"""

from http import HTTPStatus

from compute.errors import ComputeError


class NetworkError(ComputeError):
    """Base of all below, which say their words with values in them."""

    words = "{why}"

    def __init__(self, **values: object) -> None:
        super().__init__(self.words.format(**values))
        self.values = values


class BadRequest(NetworkError):
    """The request contradicts itself, or what is there for ever."""

    status = HTTPStatus.BAD_REQUEST


class Conflict(NetworkError):
    """What is there just now is in the way."""

    status = HTTPStatus.CONFLICT


class NotFound(NetworkError):
    """There is no such thing, or nobody may tell whether there is."""

    status = HTTPStatus.NOT_FOUND


class HTTPBadRequest(BadRequest):
    """The document is not what the API takes."""


class HTTPNotFound(NotFound):
    """There is no such path; or what is there is none of the caller's business."""

    words = "The resource could not be found."


class HTTPForbidden(NetworkError):
    """The caller may not."""

    status = HTTPStatus.FORBIDDEN


class PolicyNotAuthorized(HTTPForbidden):
    """A rule does not allow it."""

    words = "rule:{rule} is disallowed by policy"


class RevisionNumberConstraintFailed(NetworkError):
    """What the client has seen was changed by somebody else."""

    status = HTTPStatus.PRECONDITION_FAILED
    words = "Constrained to {constraint}, but current revision is {current}"


class OverQuota(Conflict):
    """The project has as much as it may have."""

    words = "Quota exceeded for resources: {overs}."


class QuotaResourceUnknown(NotFound):
    words = "Unknown quota resources {unknown}."


class InvalidQuotaValue(Conflict):
    words = "Change would make usage less than 0 for the following resources: {unders}."


class TenantQuotaNotFound(NotFound):
    words = "Quota for tenant {tenant_id} could not be found."


class InvalidInput(BadRequest):
    words = "Invalid input for operation: {error_message}."


class NetworkNotFound(NotFound):
    words = "Network {id} could not be found."


class TunnelIdInUse(Conflict):
    words = "Unable to create the network. The tunnel ID {tunnel_id} is in use."


class NetworkInUse(Conflict):
    words = (
        "Unable to complete operation on network {id}. There are one or more ports still in use on the network, "
        "id for these ports is: {ports}."
    )


class InvalidSharedSetting(Conflict):
    words = "Unable to reconfigure sharing settings for network {network}. Multiple tenants are using it."


class SubnetNotFound(NotFound):
    words = "Subnet {id} could not be found."


class SubnetInUse(Conflict):
    words = "Unable to complete operation on subnet {id}: One or more ports have an IP allocation from this subnet."


class InvalidAllocationPool(BadRequest):
    words = "The allocation pool {pool} is not valid."


class OutOfBoundsAllocationPool(BadRequest):
    words = "The allocation pool {pool} spans beyond the subnet cidr {cidr}."


class OverlappingAllocationPools(Conflict):
    words = "Found overlapping allocation pools: {first} {second} for subnet {cidr}."


class GatewayConflictWithAllocationPools(Conflict):
    words = "Gateway ip {ip_address} conflicts with allocation pool {pool}."


class DNSNameServersExhausted(BadRequest):
    words = "Unable to complete operation for {subnet}. The number of DNS nameservers exceeds the limit {limit}."


class HostRoutesExhausted(BadRequest):
    words = "Unable to complete operation for {subnet}. The number of host routes exceeds the limit {limit}."


class PortNotFound(NotFound):
    words = "Port {id} could not be found."


class PortInUse(Conflict):
    words = (
        "Unable to complete operation on port {id} for network {network}. Port already has an attached device {device}."
    )


class PortBound(Conflict):
    words = (
        "Unable to complete operation on port {id}, port is already bound, port type: {vif_type}, "
        "old_mac {old}, new_mac {new}."
    )


class MacAddressInUse(Conflict):
    words = "Unable to complete operation for network {network}. The mac address {mac} is in use."


class IpAddressAlreadyAllocated(Conflict):
    words = "IP address {ip} already allocated in subnet {subnet}"


class IpAddressGenerationFailure(Conflict):
    words = "No more IP addresses available on network {network}."


class InvalidIpForSubnet(BadRequest):
    words = "IP address {ip} is not a valid IP for the specified subnet."


class InvalidIpForNetwork(BadRequest):
    words = "IP address {ip} is not a valid IP for any of the subnets on the specified network."


class PortSecurityAndIPRequiredForSecurityGroups(BadRequest):
    words = "Port security must be enabled and port must have an IP address in order to use security groups."


class PortSecurityPortHasSecurityGroup(Conflict):
    words = (
        "Port has security group associated. Cannot disable port security or IP address until security group is "
        "removed."
    )


class AddressPairAndPortSecurityRequired(Conflict):
    words = "Port Security must be enabled in order to have allowed address pairs on a port."


class AddressPairsExhausted(BadRequest):
    words = "The number of allowed address pairs exceeds the maximum {quota}."


class DuplicateAddressPairInRequest(BadRequest):
    words = "Request contains duplicate address pair: mac_address {mac} ip_address {ip}."


class SecurityGroupNotFound(NotFound):
    words = "Security group {id} does not exist"


class SecurityGroupInUse(Conflict):
    words = "Security Group {id} {reason}."


class SecurityGroupCannotRemoveDefault(Conflict):
    words = "Insufficient rights for removing default security group."


class SecurityGroupCannotUpdateDefault(Conflict):
    words = "Updating default security group not allowed."


class SecurityGroupDefaultAlreadyExists(Conflict):
    words = "Default security group already exists."


class SecurityGroupRuleNotFound(NotFound):
    words = "Security group rule {id} does not exist"


class SecurityGroupRuleExists(Conflict):
    words = "Security group rule already exists. Rule id is {rule_id}."


class SecurityGroupNotSingleTenant(BadRequest):
    words = "Multiple tenant_ids in bulk security group rule create not allowed"


class SecurityGroupRemoteGroupAndRemoteIpPrefix(BadRequest):
    words = "Only remote_ip_prefix or remote_group_id may be provided."


class SecurityGroupRuleParameterConflict(BadRequest):
    words = "Conflicting value ethertype {ethertype} for CIDR {cidr}"


class SecurityGroupEthertypeConflictWithProtocol(BadRequest):
    words = "Invalid ethertype {ethertype} for protocol {protocol}."


class SecurityGroupInvalidProtocol(BadRequest):
    words = (
        "Security group rule protocol {protocol} not supported. Only protocol values {values} and integer "
        "representations [0 to 255] are supported."
    )


class SecurityGroupInvalidPortRange(BadRequest):
    words = "For TCP/UDP protocols, port_range_min must be <= port_range_max"


class SecurityGroupInvalidPortValue(BadRequest):
    words = "Invalid value for port {port}"


class SecurityGroupInvalidProtocolForPort(BadRequest):
    words = "Invalid protocol {protocol} for port range, only supported for TCP, UDP, UDPLITE, SCTP and DCCP."


class SecurityGroupInvalidIcmpValue(BadRequest):
    words = "Invalid value for ICMP {field} ({attr}) {value}. It must be 0 to 255."


class SecurityGroupMissingIcmpType(BadRequest):
    words = "ICMP code (port-range-max) {value} is provided but ICMP type (port-range-min) is missing."


class GatewayIpInUse(Conflict):
    words = "Current gateway ip {ip_address} already in use by port {port_id}. Unable to update."


class ExternalNetworkInUse(Conflict):
    words = "External network {net_id} cannot be updated to be made non-external, since it has existing gateway ports."


class RouterNotFound(NotFound):
    words = "Router {id} could not be found"


class RouterInUse(Conflict):
    words = "Router {router_id} still has ports"


class RouterInterfaceNotFound(NotFound):
    words = "Router {router_id} does not have an interface with id {port_id}"


class RouterInterfaceNotFoundForSubnet(NotFound):
    words = "Router {router_id} has no interface on subnet {subnet_id}"


class RouterInterfaceInUseByFloatingIP(Conflict):
    words = (
        "Router interface for subnet {subnet_id} on router {router_id} cannot be deleted, as it is required by one or "
        "more floating IPs."
    )


class RouterExternalGatewayInUseByFloatingIp(Conflict):
    words = (
        "Gateway cannot be updated for router {router_id}, since a gateway to external network {net_id} is required by "
        "one or more floating IPs."
    )


class SubnetMismatchForPort(BadRequest):
    words = "Subnet on port {port_id} does not match the requested subnet {subnet_id}"


class FloatingIPNotFound(NotFound):
    words = "Floating IP {id} could not be found"


class FloatingIPPortAlreadyAssociated(Conflict):
    words = (
        "Cannot associate floating IP {floating_ip_address} ({fip_id}) with port {port_id} using fixed IP {fixed_ip}, "
        "as that fixed IP already has a floating IP on external network {net_id}."
    )


class ExternalGatewayForFloatingIPNotFound(NotFound):
    words = (
        "External network {external_network_id} is not reachable from subnet {subnet_id}.  Therefore, cannot associate "
        "Port {port_id} with a Floating IP."
    )


class ExternalIpAddressExhausted(BadRequest):
    words = "Unable to find any IP address on external network {net_id}."


class TagResourceNotFound(NotFound):
    words = "Resource {resource} {id} could not be found."


class TagNotFound(NotFound):
    words = "Tag {tag} could not be found."


class AgentNotFound(NotFound):
    words = "Agent {id} could not be found."


class ExtensionNotFound(NotFound):
    words = "Extension with alias {alias} does not exist"
